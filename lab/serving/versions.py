"""How the versions of the stand-ins behave: the end of a version's name says it, every other version is a good one.

    1.5.0-slow                  answers late, though within the limits
    1.5.0-failing               users meet errors
    1.5.0-failing-after-60s     users meet errors, a minute after its start
    1.5.0-no-start              ends at once
    1.5.0-broken-migration      web changes the database by half, and ends; the others are good

The version comes from VERSION in the lab's `.env`, as compose takes the image's tag from there.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any

import psycopg

from lab.serving.environment import Environment

NAME = re.compile(r".*-(?P<kind>slow|failing|no-start|broken-migration)(?:-after-(?P<after>\d+)s)?")
LATE = 0.3
"""Seconds, where a good version takes some milliseconds."""
PAGES = {"web": ("/", "/login", "/api/*"), "ml": ("/predict/*",)}
"""Where users meet errors; a health endpoint says only that the process answers."""
MIGRATION = (
    "ALTER TABLE prediction ADD COLUMN IF NOT EXISTS station text",
    "ALTER TABLE prediction ALTER COLUMN taxon SET NOT NULL",  # there is no such column
)


def kind(version: str) -> str:
    """How VERSION behaves: `good`, or what the end of its name says."""
    found = NAME.fullmatch(version)
    return found["kind"] if found else "good"


def rules(version: str, service: str) -> dict[str, Any]:
    """The misbehaviour of SERVICE in VERSION, as the rules of `faults`."""
    found = NAME.fullmatch(version)
    match found and found["kind"]:
        case "slow":
            return {"slow": {"seconds": LATE}}
        case "failing":
            after = int(found["after"] or 0) if found else 0
            paths = PAGES.get(service, ())
            return {"status": [{"path": path, "share": 0.25, "code": 500, "after": after} for path in paths]}
        case _:
            return {}


def begin(environment: Environment, service: str) -> None:
    """What the version of SERVICE does before it serves: nothing, or it ends the process with what went wrong."""
    begins = BEGINNINGS.get(kind(environment.version))
    if begins:
        begins(environment, service)


def _no_start(environment: Environment, service: str) -> None:
    sys.exit(f"{service} {environment.version}: no module named 'nightscan.stations'")


def _migrate(environment: Environment, service: str) -> None:
    """Each statement for itself, as migrations without transactions do it."""
    if service != "web":
        return
    with psycopg.connect(environment.database_uri, autocommit=True, connect_timeout=5) as connection:
        for number, statement in enumerate(MIGRATION, 1):
            try:
                connection.execute(statement.encode())
            except psycopg.Error as error:
                sys.exit(f"{service} {environment.version}: step {number} of its migration failed: {error}")


BEGINNINGS: dict[str, Callable[[Environment, str], None]] = {"no-start": _no_start, "broken-migration": _migrate}

"""Writes records of runs of earlier days, so that figures over a month can be seen without waiting for one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from lab.site import Site, write_private

if TYPE_CHECKING:
    from lab.lab import Lab

DAYS = 30
"""How far back the past reaches."""


def folder(site: Site) -> str:
    """Where the lab keeps them; runs of another system say nothing about this one."""
    return str(site.path("runs"))


def ensure(site: Site) -> None:
    """Let there be a run on each of the last days, in which the services were up: of a system without a past none is told."""
    up = {f"{service}/availability::health_endpoint_answers": "passed" for service in ("web", "ml")}
    for days in range(1, DAYS):
        moment = datetime.now(UTC) - timedelta(days=days)
        write_private(site.path("runs", f"{moment:%Y%m%d}T000000Z-before", "run.json"), _record(moment, up))


def write(lab: Lab, check: str, outcomes: Sequence[str]) -> None:
    """One run a day, the last one yesterday, in which CHECK had these OUTCOMES."""
    for days, outcome in enumerate(reversed(outcomes), 1):
        moment = datetime.now(UTC) - timedelta(days=days)
        file = lab.site.path("runs", f"{moment:%Y%m%dT%H%M%SZ}-past", "run.json")
        lab.replace_file(file, _record(moment, {check: outcome}))


def _record(moment: datetime, outcomes: Mapping[str, str]) -> str:
    """The record of a run at MOMENT, with OUTCOMES by check."""
    record = {
        "environment": "production",
        "started": moment.isoformat(),
        "finished": moment.isoformat(),
        "interrupted": False,
        "results": [{"check": {"id": check}, "outcome": outcome} for check, outcome in outcomes.items()],
    }
    return json.dumps(record) + "\n"

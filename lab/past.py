"""Writes records of runs of earlier days, so that figures over a month can be seen without waiting for one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from lab.site import Site

if TYPE_CHECKING:
    from lab.lab import Lab


def folder(site: Site) -> str:
    """Where the lab keeps them; runs of another system say nothing about this one."""
    return str(site.path("runs"))


def write(lab: Lab, check: str, outcomes: Sequence[str]) -> None:
    """One run a day, the last one yesterday, in which CHECK had these OUTCOMES."""
    for days, outcome in enumerate(reversed(outcomes), 1):
        moment = datetime.now(UTC) - timedelta(days=days)
        record = {
            "environment": "production",
            "started": moment.isoformat(),
            "finished": moment.isoformat(),
            "interrupted": False,
            "results": [{"check": {"id": check}, "outcome": outcome}],
        }
        lab.replace_file(lab.site.path("runs", f"{moment:%Y%m%dT%H%M%SZ}-past", "run.json"), json.dumps(record) + "\n")

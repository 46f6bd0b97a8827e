"""`pytest --collect-only`: the selected checks as the guide that they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from pytest_runbook.model import Check


def guide(checks: Iterable[Check]) -> Iterator[str]:
    """Lines that name each check under its service: severity, schedules, what must be true, id, runbook."""
    ordered = sorted(checks, key=lambda check: (check.service, check.severity))
    for service, group in groupby(ordered, key=lambda check: check.service):
        yield ""
        yield service
        for check in group:
            yield f"  {check.severity}  {check.title}"
            runbook = f" → {check.runbook}" if check.runbook else ""
            yield f"      {check.id} · {' '.join(check.schedules) or 'no schedule'}{runbook}"
    yield ""

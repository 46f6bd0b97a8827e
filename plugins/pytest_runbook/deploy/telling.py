"""Deployments in words: where one stands, and those that ended."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pytest_runbook import clock
from pytest_runbook.deploy.phases import canary_left
from pytest_runbook.history import DeploymentRow
from pytest_runbook.history.rows import Life

TAKE_UP = "runbook deploy --resume goes on, --abort ends it on the version before, --forth on the new one"


def headline(row: DeploymentRow) -> str:
    """ROW in a line: what, where, by whom, and its outcome."""
    targets = row.options["targets"]
    moved = ", ".join(f"{service} {row.before[service]} -> {version}" for service, version in targets.items())
    took = f" in {clock.duration((row.ended - row.started).total_seconds())}" if row.ended else ""
    state = row.outcome or ("held" if row.held else "unfinished")
    return f"{row.id:>4}  {row.started:%Y-%m-%d %H:%M:%S}Z  {row.kind:8}  {state}{took}  {moved}  by {row.who}"


def story(row: DeploymentRow) -> Iterator[str]:
    """ROW with its phases, and why it ended, or waits."""
    yield headline(row)
    for phase in row.phases:
        took = clock.duration(phase.duration) if phase.duration is not None else ""
        yield f"      {phase.phase:12} {phase.outcome or 'open':12} {took:>8}  {phase.said or ''}".rstrip()
    if row.backup:
        yield f"      backup {row.backup}"
    if reason := row.options.get("reason"):
        yield f"      without a backup: {reason}"
    if row.why or row.held:
        yield f"      {row.outcome or 'held'}: {row.why or row.held}"


def standing(row: DeploymentRow, life: Life) -> Iterator[str]:
    """Where the unfinished ROW stands, and what can be done; LIFE is that of its process."""
    yield from story(row)
    if life == "lives":
        yield f"it is going on: process {row.pid} on {row.host}"
    elif row.held:
        yield f"it waits for a decision\n  hint: {TAKE_UP}"
    else:
        where = row.open_phase.phase if row.open_phase else "two phases"
        word = "in" if row.open_phase else "between"
        if life == "silent":
            yield f"nothing was heard of its process, {row.pid} on {row.host}, for longer than its lease; it was {word} {where}"
        else:
            yield f"its process is gone: it was ended {word} {where}"
        yield f"  hint: {TAKE_UP}"
    if canary_left(row) and life != "lives":
        yield "a canary of it may still run; both stop it"


def plain(value: Any) -> Any:
    """VALUE, a row or what is inside of one, as JSON knows it."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return clock.iso(value) if isinstance(value, datetime) else value

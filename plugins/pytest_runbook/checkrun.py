"""Runs checks in a pytest of their own and reads its record: so deployments, restores and drills look at the system."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_runbook import clock
from pytest_runbook.errors import Unmeasured
from pytest_runbook.model import RunRecord
from pytest_runbook.runbooks import commands
from pytest_runbook.runbooks.commands import Finished, Program

if TYPE_CHECKING:
    from datetime import datetime

    from pytest_runbook.settings import Loaded

RECORD = "run.json"
WITHIN = "RUNBOOK_WITHIN"
"""Variable that tells a run what it is a part of: a deployment, a restore, a drill."""
OUTER = ("PYTEST_", "COV_")
"""Beginnings of variables that would tell a run that it is a worker of another pytest."""


@dataclass(frozen=True, slots=True)
class CheckRun:
    """Which checks of which project, and what they are told beside their settings."""

    root: Path
    """Root folder of the project: where `pytest` would be typed."""
    folder: Path
    """Where the run leaves its record and reports; a new one for each run."""
    expression: str
    """As `pytest -m` takes it: `postdeploy and not p3`."""
    settings: Path | None = None
    """None: the settings file that pytest's configuration names."""
    overrides: Sequence[str] = ()
    """`key.path=value`, the strongest layer of the settings."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables that the run gets beside those of this process."""
    arguments: Sequence[str] = ()
    """Further arguments of pytest."""
    hidden: tuple[str, ...] = OUTER
    """Beginnings of variables of this process that the run does not get."""

    @property
    def command(self) -> list[str]:
        """What is started."""
        chosen = [f"--settings={self.settings}"] if self.settings else []
        told = [f"--set={override}" for override in self.overrides]
        marks = ["-m", self.expression] if self.expression else []
        return [sys.executable, "-m", "pytest", *marks, f"--report={self.folder}", *chosen, *told, *self.arguments]

    def record(self, timeout: float = 3600.0, *, show: bool = False) -> RunRecord:
        """The record of the run; SHOW passes on what pytest says. Nothing is mended meanwhile.

        Raises Unmeasured when there is none: the run could not start, died, or took longer than TIMEOUT seconds.
        """
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(self.hidden)}
        written = self.folder / RECORD
        written.unlink(missing_ok=True)  # one that another run left here is not this run's
        program = Program(self.command, {**inherited, **self.environment}, self.root)
        done = commands.follow(program, timeout, show=show)
        if done.late or not written.is_file():
            raise Unmeasured(_unlooked(self.expression, done, timeout))
        record = RunRecord.from_json(json.loads(written.read_text(encoding="utf-8")))
        if record.exit_code != done.status:
            raise Unmeasured(f"pytest ended with status {done.status}, and its record says {record.exit_code}")
        return record


def recent(loaded: Loaded, since: datetime | None) -> list[str]:
    """Overrides for the keys of `deploy.since`, which say how far back checks look, where that would be before SINCE.

    In whole seconds, rounded up: until a check looks, the run has to begin, which takes about as long, and what the services
    write first counts.
    """
    if since is None:
        return []
    passed = max(math.ceil((clock.now() - since).total_seconds()), 1)
    values = loaded.values()
    asked = {key: values.get(key) for key in loaded.settings.deploy.since}
    return [f"{key}={passed}" for key, value in asked.items() if isinstance(value, int | float) and value > passed]


def _unlooked(expression: str, done: Finished, timeout: float) -> str:
    if done.late:
        return f'the checks "{expression}" did not end within {clock.duration(timeout)}'
    said = "\n".join(f"  | {line}" for line in (done.stdout + done.stderr).strip().splitlines()[-15:])
    return f'the checks "{expression}" left no record: pytest ended with status {done.status}\n{said}'

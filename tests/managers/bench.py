"""What the contract's tests need of each kind of manager: the same units, run by the real thing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_runbook.managers import Completed, Run
from pytest_runbook.managers.base import UnitManager

from tests.managers.here import local

SECRET = "correct-horse-battery-staple"
VARIABLES = f"# what the units are started with\nexport DB_PASSWORD='{SECRET}'\n\nVERSION=1.4.2\nLEVEL=info\n"
STOP = "echo good bye; kill $! 2>/dev/null; exit 0"
LOOP = f"""echo "version $VERSION"; trap '{STOP}' TERM; while :; do sleep 1000 & wait $!; done"""
PROGRAMS = {
    "base": LOOP,
    "web": LOOP,  # needs base
    "proxy": LOOP,  # needs web
    "deaf": "trap '' TERM; echo deaf; while :; do sleep 1; done",
    "broken": "echo 'no configuration' >&2; exit 3",
    "flapping": "echo up; sleep 0.1; echo 'lost its database' >&2; exit 3",  # always started again
}
"""Unit to what a shell runs for it."""
NEEDS = {"web": "base", "proxy": "web"}
FAST = {"grace": 1.0, "steady": 0.4}
"""Settings that keep the tests short."""


@dataclass
class Recorder:
    """Runs commands as RUN does, and keeps what everybody could read in the list of processes meanwhile."""

    run: Run = local
    lines: list[str] = field(default_factory=list)

    def __call__(
        self,
        argv: Sequence[str],
        timeout: float,
        input: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Completed:
        self.lines.append("\0".join([*argv, *(environment or {}).values()]))
        return self.run(argv, timeout, input, environment)


@dataclass
class Bench:
    """One manager over the units of `PROGRAMS`, none of which runs when a test begins."""

    manager: UnitManager[Any]
    """The manager."""
    run: Recorder
    env_file: Path
    reset: Callable[[], None]
    """End all units, whatever state they are in."""

    def signal(self, unit: str, name: str) -> None:
        """Send a signal to the main process of UNIT."""
        (pid,) = self.manager.status(unit).pids
        assert self.run(["kill", f"-{name}", str(pid)], 10).status == 0

"""supervisord, through supervisorctl. A unit is a program, or all programs of a group: `web:*`."""

from __future__ import annotations

import re
from datetime import timedelta

from pytest_runbook import clock
from pytest_runbook.errors import ManagerError
from pytest_runbook.managers import Completed, State, Status
from pytest_runbook.managers._processes import started_with
from pytest_runbook.managers.base import ManagerSettings, UnitManager, worst

STATES: dict[str, State] = {
    "RUNNING": "running",
    "STARTING": "starting",
    "STOPPING": "running",
    "BACKOFF": "failed",
    "FATAL": "failed",
    "UNKNOWN": "failed",
    "STOPPED": "stopped",
    "EXITED": "stopped",
}
LINE = re.compile(r"^(?P<name>\S+)\s+(?P<state>[A-Z]+)(?:\s+(?P<detail>.*))?$", re.MULTILINE)
RUNS = re.compile(r"pid (\d+), uptime (?:(\d+) days?, )?(\d+):(\d+):(\d+)")
WIDTH = 200
"""Characters that a line of a log is taken to have: supervisorctl counts in bytes."""


class SupervisorSettings(ManagerSettings):
    """Where supervisord is. A password of its server stands in its configuration file, which `config` names."""

    command: tuple[str, ...] = ("supervisorctl",)
    config: str | None = None
    """Its configuration file; none: where supervisorctl looks by itself."""
    steady: float = 0.0
    """supervisord itself waits for `startsecs` before it says that a program runs."""


class Supervisor(UnitManager[SupervisorSettings]):
    """Programs of one supervisord."""

    kind = "supervisor"
    Settings = SupervisorSettings

    def status(self, unit: str) -> Status:
        """How UNIT is; of a group, how the worst of it is."""
        done = self._control("status", unit)
        found = [_status(line) for line in LINE.finditer(done.output) if line["state"] in STATES]
        if not found and not re.search(r"ERROR \(no such (process|group)\)", done.output):
            raise ManagerError(
                f'supervisord of the manager "{self.name}" does not answer: {done.said or f"status {done.status}"}\n'
                f"  hint: start it, or correct managers.{self.name}.config"
            )
        return worst(found)

    def units(self) -> list[str]:
        """Names of the programs."""
        return [line["name"] for line in LINE.finditer(self._control("status").output) if line["state"] in STATES]

    def logs(self, unit: str, lines: int = 50) -> str:
        """The last LINES of its output, and as many of its errors where they go elsewhere."""
        found = []
        for stream in ("stdout", "stderr"):
            said = self._control("tail", f"-{lines * WIDTH}", unit, stream).output
            if not re.fullmatch(rf"{re.escape(unit)}: ERROR \(.*\)", said.strip()):
                found += said.rstrip("\n").splitlines()[-lines:]
        return "\n".join(found)

    def version(self, unit: str) -> str | None:
        """The version variable that its process was started with."""
        return started_with(self._command, self.settings.version_variable, self._present(unit).pids)

    def _begin(self, unit: str, timeout: float) -> Completed:
        return self._control("start", unit, timeout=timeout)

    def _end(self, unit: str, status: Status, grace: float) -> Completed:
        self._signal("CONT", status)
        return self._control("stop", unit, timeout=grace)

    def _kill(self, unit: str, timeout: float) -> Completed:
        self._signal("KILL", self.status(unit))
        return self._control("signal", "KILL", unit, timeout=timeout)

    def _signal(self, name: str, status: Status) -> None:
        """Each program leads a process group; supervisord's own `signal` would leave its children out."""
        if groups := [f"-{pid}" for pid in status.pids]:
            self._command("sh", "-c", 'kill -s "$0" -- "$@"', name, *groups)

    def _control(self, *words: str, timeout: float = 30.0) -> Completed:
        config = ("-c", self.settings.config) if self.settings.config else ()
        return self._command(*self.settings.command, *config, *words, timeout=timeout)


def _status(line: re.Match[str]) -> Status:
    """What one line of `supervisorctl status` says; only of what runs it says since when, and to the second."""
    detail, state = line["detail"] or "", STATES[line["state"]]
    found = RUNS.search(detail)
    if not found:
        words = {"BACKOFF": "ends again and again", "EXITED": "ended by itself", "STOPPED": ""}
        return Status(state, detail=": ".join(filter(None, (words.get(line["state"]), detail))))
    pid, days, hours, minutes, seconds = (int(number or 0) for number in found.groups())
    up = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    detail = "is about to end" if line["state"] == "STOPPING" else ""
    return Status(state, clock.now() - up, detail, (pid,))

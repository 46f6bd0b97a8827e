"""systemd, through systemctl and journalctl. A unit is a service: `shop-web`, or with its type, `shop-web.service`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from pytest_runbook.managers import Completed, State, Status
from pytest_runbook.managers._processes import started_with
from pytest_runbook.managers.base import ManagerSettings, UnitManager

STATES: dict[str, State] = {
    "active": "running",
    "reloading": "running",
    "deactivating": "running",
    "activating": "starting",
    "inactive": "stopped",
    "failed": "failed",
}
ASKED = (
    *("LoadState", "ActiveState", "SubState", "Result", "MainPID", "ExecMainCode", "ExecMainStatus", "StatusText"),
    *("ActiveEnterTimestamp", "InactiveEnterTimestamp", "UnitFileState"),
)
SPEECH = {"LC_ALL": "C", "TZ": "UTC", "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": ""}
"""Times in UTC and words in English, whatever the machine speaks."""
ALONE = "--job-mode=ignore-dependencies"
"""Without it a stop takes along what requires the unit, and a later start does not bring it back."""


class SystemdSettings(ManagerSettings):
    """Which systemd. The version is a variable of a file that the unit names with `EnvironmentFile=`."""

    command: tuple[str, ...] = ("systemctl",)
    journal: tuple[str, ...] = ("journalctl",)
    user: bool = False
    """The user's own instance instead of the machine's."""


class Systemd(UnitManager[SystemdSettings]):
    """Services of one systemd."""

    kind = "systemd"
    Settings = SystemdSettings

    def status(self, unit: str) -> Status:
        """How UNIT is."""
        said = self._ask(*self._systemctl("show", f"--property={','.join(ASKED)}", "--", unit), environment=SPEECH)
        return status(dict(line.split("=", 1) for line in said.splitlines() if "=" in line))

    def units(self) -> list[str]:
        """Names of the services that are loaded or installed."""
        found = set[str]()
        for words in (("list-units", "--all"), ("list-unit-files",)):
            said = self._ask(*self._systemctl(*words, "--type=service", "--plain", "--no-legend"), environment=SPEECH)
            found.update(line.split()[0].removesuffix(".service") for line in said.splitlines() if line.strip())
        return sorted(found)

    def logs(self, unit: str, lines: int = 50) -> str:
        """Its last LINES in the journal."""
        which = f"--{'user-' if self.settings.user else ''}unit={unit}"
        words = ("--quiet", "--no-pager", "--output=short-iso", f"--lines={lines}")
        return self._ask(*self.settings.journal, which, *words, environment=SPEECH).rstrip("\n")

    def version(self, unit: str) -> str | None:
        """The version variable that its main process was started with."""
        return started_with(self._command, self.settings.version_variable, self._present(unit).pids)

    def _begin(self, unit: str, timeout: float) -> Completed:
        # One that failed often within a short time would be refused.
        self._command(*self._systemctl("reset-failed", "--", unit))
        return self._command(*self._systemctl("start", ALONE, "--", unit), timeout=timeout, environment=SPEECH)

    def _end(self, unit: str, status: Status, grace: float) -> Completed:
        # Systemd itself wakes what is frozen.
        return self._command(*self._systemctl("stop", ALONE, "--", unit), timeout=grace, environment=SPEECH)

    def _kill(self, unit: str, timeout: float) -> Completed:
        return self._command(*self._systemctl("kill", "--signal=KILL", "--", unit), timeout=timeout)

    def _systemctl(self, *words: str) -> tuple[str, ...]:
        return (*self.settings.command, *(("--user",) if self.settings.user else ()), *words)


def status(told: Mapping[str, str]) -> Status:
    """What the properties that `systemctl show` TOLD mean."""
    if told.get("LoadState") == "not-found":
        return Status("absent")
    active, sub = told.get("ActiveState", ""), told.get("SubState", "")
    state = STATES.get(active, "failed")
    pids = (int(told["MainPID"]),) if told.get("MainPID", "0") != "0" else ()
    if sub == "auto-restart":
        return Status("failed", _moment(told, "InactiveEnterTimestamp"), f"{_ended(told)}, will be started again")
    if state == "failed":
        return Status(state, _moment(told, "InactiveEnterTimestamp"), _ended(told), pids)
    since = _moment(told, "ActiveEnterTimestamp" if state == "running" else "InactiveEnterTimestamp")
    masked = "masked" if told.get("LoadState") == "masked" else ""
    words = (sub if sub not in ("running", "dead") else "", masked, told.get("StatusText", ""))
    return Status(state, since, ", ".join(filter(None, words)), pids)


def _ended(told: Mapping[str, str]) -> str:
    """How its main process ended: `exit-code 3`, `signal 11`, `oom-kill`, `start-limit-hit`."""
    code = told.get("ExecMainStatus", "0")
    return told.get("Result", "") + (f" {code}" if code != "0" else "")


def _moment(told: Mapping[str, str], name: str) -> datetime | None:
    try:
        return datetime.strptime(told.get(name, ""), "%a %Y-%m-%d %H:%M:%S %Z").replace(tzinfo=UTC)
    except ValueError:
        return None

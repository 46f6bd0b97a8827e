"""What every manager of units shares: start, stop and restart as one story with a deadline, told in one set of words.

A kind says how one unit is, and gives the commands that begin, end and kill it; all waiting and judging is done here.
"""

from __future__ import annotations

import difflib
import shlex
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import ClassVar, Generic, NoReturn, TypeVar

from pydantic import BaseModel, ConfigDict, NonNegativeFloat, PositiveFloat

from pytest_runbook import clock
from pytest_runbook.errors import ManagerError, NoVersion
from pytest_runbook.managers import HERE, Completed, Run, Status
from pytest_runbook.managers._versions import VersionFile

QUESTION = 30.0
"""Seconds that a question to a manager may take."""
SHOWN = 15
"""Lines of a unit's log, and names of units, that a message shows."""


class ManagerSettings(BaseModel):
    """Settings that every kind of manager has; a kind adds its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str
    on: str | None = None
    """Host probe on whose machine the commands run; `local://`: this one; none: this one too, where a host probe looks at it."""
    prefix: tuple[str, ...] = ()
    """Words before every command: `["sudo", "-n"]`."""
    grace: PositiveFloat = 10.0
    """Seconds that a unit gets to end before it is killed; at most half of the time that a stop or restart has."""
    steady: NonNegativeFloat = 1.0
    """Seconds that a unit has to run for its start to count."""
    env_file: str | None = None
    """File of variables (`NAME=value` lines) that the units are started with: it says their version."""
    version_variable: str = "VERSION"
    """The one of them that is the version."""

    @property
    def machine(self) -> str | None:
        """The host probe on whose machine the commands run; None: here."""
        return None if self.on == HERE else self.on


S = TypeVar("S", bound=ManagerSettings)


class Deadline:
    """A moment after which nobody waits any more."""

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self._end = clock.monotonic() + timeout

    @property
    def left(self) -> float:
        """Seconds until then, at least a little: what is asked has to have a chance."""
        return max(self._end - clock.monotonic(), 0.05)

    @property
    def passed(self) -> bool:
        """Whether it is over."""
        return clock.monotonic() >= self._end


class UnitManager(ABC, Generic[S]):
    """A `Manager` that works by commands."""

    kind: ClassVar[str]
    Settings: ClassVar[type[ManagerSettings]] = ManagerSettings

    def __init__(self, name: str, settings: S, run: Run) -> None:
        """NAME is the name in the settings, SETTINGS an instance of this kind's `Settings`."""
        self.name = name
        self.settings = settings
        self._run = run

    # What a kind says.

    @classmethod
    def by_hand(cls, settings: S) -> str:
        """What a person types first, so that a runbook's commands reach the units of SETTINGS; empty: nothing."""
        return ""

    @abstractmethod
    def status(self, unit: str) -> Status:
        """How UNIT is; one that does not exist is `absent`."""

    @abstractmethod
    def units(self) -> list[str]:
        """Names of the units that exist."""

    @abstractmethod
    def logs(self, unit: str, lines: int = 50) -> str:
        """The last LINES that UNIT wrote."""

    @abstractmethod
    def version(self, unit: str) -> str | None:
        """The version that UNIT runs; None when nobody can tell."""

    def _prepare(self, unit: str, timeout: float) -> None:
        """Have ready what the next start of UNIT needs; ManagerError, while it still runs, when that cannot be had."""

    @abstractmethod
    def _begin(self, unit: str, timeout: float) -> Completed:
        """Start UNIT, which does not run."""

    @abstractmethod
    def _end(self, unit: str, status: Status, grace: float) -> Completed:
        """Ask UNIT, which is as STATUS says, to end, for GRACE seconds; what was frozen has to be woken for that."""

    @abstractmethod
    def _kill(self, unit: str, timeout: float) -> Completed:
        """End UNIT at once."""

    # What they all do.

    def start(self, unit: str, timeout: float) -> None:
        """Return when UNIT runs, and has run for a moment; one that runs already is left alone."""
        self._start(unit, self._present(unit), Deadline(timeout))

    def stop(self, unit: str, timeout: float) -> None:
        """Return when nothing of UNIT runs: asked to end first, killed when it does not."""
        self._stop(unit, self._present(unit), Deadline(timeout))

    def restart(self, unit: str, timeout: float) -> None:
        """Stop UNIT if it runs, and start it, in the version that `switch_version` chose."""
        before, deadline = self._present(unit), Deadline(timeout)
        self._prepare(unit, deadline.left)
        self._start(unit, self._stop(unit, before, deadline), deadline)

    def discard(self, unit: str, timeout: float) -> None:
        """Stop UNIT, and have its next start take up nothing of this one."""
        self.stop(unit, timeout)

    def next_version(self, unit: str) -> str:
        """The version that the next start of UNIT runs, as `switch_version` wrote it."""
        return self.version_file(unit).current()

    def previous_version(self, unit: str) -> str | None:
        """The version before the last switch, to go back to; None when there is none on record."""
        return self.version_file(unit).previous()

    def switch_version(self, unit: str, version: str) -> None:
        """Have the next start or restart of UNIT run VERSION, and put the one before it on record."""
        self._present(unit)
        self.version_file(unit).switch(version)

    def version_place(self, unit: str) -> str:
        """Where that stands, in words: units of which it is the same are switched together."""
        self._present(unit)
        file = self.version_file(unit)
        file.current()  # what does not stand there cannot be switched
        return file.place + (f' on the machine of "{self.settings.machine}"' if self.settings.machine else "")

    def version_file(self, unit: str) -> VersionFile:
        """The file in which that stands; NoVersion when nothing says which version of UNIT is started."""
        if self.settings.env_file is None:
            raise NoVersion(
                f'nothing says which version of "{unit}" the manager "{self.name}" starts\n'
                f"  hint: have it read {self.settings.version_variable} from a file, managers.{self.name}.env_file"
            )
        return VersionFile(self._ask, self.settings.env_file, self.settings.version_variable)

    def _start(self, unit: str, before: Status, deadline: Deadline) -> None:
        if before.state == "running":
            return
        done = self._begin(unit, deadline.left)
        first = self._until(unit, deadline, lambda status: status.state != "starting")
        since = clock.monotonic()

        def settled(status: Status) -> bool:
            """Whether it has run for long enough, or ended, maybe to be started again at once."""
            same = status.state == "running" and status.pids == first.pids
            return not same or clock.monotonic() - since >= self.settings.steady

        last = self._until(unit, deadline, settled, first)
        if last.state != "running":
            self._failed(unit, "did not start", last, done)
        if last.pids != first.pids:
            self._failed(unit, "did not stay up", Status("failed", detail="it ended, and was started again"), done)

    def _stop(self, unit: str, before: Status, deadline: Deadline) -> Status:
        if before.state == "stopped" and not before.pids:
            return before
        done = self._end(unit, before, min(self.settings.grace, deadline.timeout / 2))
        status = self.status(unit)
        if not _ended(status):
            done = self._kill(unit, deadline.left)
            status = self._until(unit, deadline, _ended)
        if not _ended(status):
            self._failed(unit, "did not stop", status, done)
        return status

    def _until(
        self, unit: str, deadline: Deadline, done: Callable[[Status], bool], seen: Status | None = None
    ) -> Status:
        """The status of UNIT, at first the one SEEN, when it is DONE; or the last one before DEADLINE."""
        status, pause = seen or self.status(unit), 0.05
        while not done(status) and not deadline.passed:
            time.sleep(min(pause, deadline.left))
            status, pause = self.status(unit), min(pause * 1.5, 0.5)
        return status

    def _present(self, unit: str) -> Status:
        """The status of UNIT; ManagerError with the known ones when there is none of that name."""
        status = self.status(unit)
        if status.state == "absent":
            raise ManagerError(f'unknown unit "{unit}" of the manager "{self.name}" ({self._known(unit)})')
        return status

    def _known(self, unit: str) -> str:
        names = sorted(self.units())
        near = difflib.get_close_matches(unit, names, n=3, cutoff=0.6)
        shown = [*near, *(name for name in names if name not in near)][:SHOWN]
        more = f", and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        return f"known: {', '.join(shown) or 'none'}{more}"

    def _failed(self, unit: str, what: str, status: Status, done: Completed) -> NoReturn:
        """Raise what UNIT did not do, with what was seen, and with what the command and the unit itself said."""
        seen = status.state + (f" ({status.detail})" if status.detail else "")
        said = [f"  {line}" for line in done.said.splitlines()[-SHOWN:]] if done.status or done.timed_out else []
        try:
            wrote = [f"  | {line}" for line in self.logs(unit, SHOWN).splitlines()]
        except ManagerError as error:
            wrote = [f"  | {error}".replace("\n", "\n  | ")]
        hint = "  hint: " + (
            "what it wrote last stands above" if wrote else "it wrote nothing: look at its configuration"
        )
        raise ManagerError("\n".join([f'"{unit}" {what}: {seen}', *said, *wrote, hint]))

    def _command(
        self,
        *argv: str,
        timeout: float = QUESTION,
        text: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Completed:
        """ARGV, whatever comes of it."""
        return self._run([*self.settings.prefix, *argv], timeout, text, environment)

    def _ask(
        self,
        *argv: str,
        timeout: float = QUESTION,
        text: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> str:
        """What ARGV answers; ManagerError when it did not do it."""
        done = self._command(*argv, timeout=timeout, text=text, environment=environment)
        if done.timed_out:
            raise ManagerError(f'"{_shown(argv)}" did not end within {clock.duration(timeout)}\n  {done.said}')
        if done.status:
            raise ManagerError(
                f'"{_shown(argv)}" failed with status {done.status}: {done.said or "it says nothing"}\n'
                f"  hint: see managers.{self.name} in the settings"
            )
        if done.truncated:
            raise ManagerError(f'"{_shown(argv)}" answers too much to be read')
        return done.output


def worst(found: Sequence[Status]) -> Status:
    """One status for a unit that is run several times over: the worst, and the processes of all."""
    if not found:
        return Status("absent")
    order = ("failed", "stopped", "starting", "running", "absent")
    chosen = min(found, key=lambda status: order.index(status.state))
    pids = tuple(sorted(pid for status in found for pid in status.pids))
    return Status(
        chosen.state, _latest(status.since for status in found if status.state == chosen.state), chosen.detail, pids
    )


def _latest(moments: Iterable[datetime | None]) -> datetime | None:
    return max(filter(None, moments), default=None)


def _ended(status: Status) -> bool:
    return status.state in ("stopped", "failed", "absent") and not status.pids


def _shown(argv: Sequence[str]) -> str:
    line = shlex.join(argv)
    return line if len(line) <= 100 else f"{line[:97]}…"

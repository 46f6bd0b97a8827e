"""Programs and service managers wherever the settings say they are: on this machine, or on that of a host probe."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_runbook import managers
from pytest_runbook.errors import NoProgram, StepFailed, unknown
from pytest_runbook.managers import Completed
from pytest_runbook.runbooks import commands, environment, remote
from pytest_runbook.runbooks.commands import Finished, Program
from pytest_runbook.runbooks.family import MARK
from pytest_runbook.runbooks.remote import Task

if TYPE_CHECKING:
    from pytest_runbook.managers import Manager, Run
    from pytest_runbook.probes.host import HostSettings
    from pytest_runbook.settings import Settings

KILLED = 128
"""A shell adds this to the number of the signal that ended a program."""
MISSING = 127
"""A shell's exit status for a program that is not there."""


class Reach:
    """Starts programs for one errand; each carries a mark, by which what a killed errand left is found."""

    def __init__(
        self,
        settings: Settings,
        root: Path,
        mark: str,
        *,
        bound: Callable[[float], float] = lambda seconds: seconds,
    ) -> None:
        """Programs of this machine start in ROOT; MARK begins what each carries; BOUND shortens what one may take."""
        self._settings, self._root, self._mark, self._bound = settings, root, mark, bound

    def follow(self, task: Task, on: str | None, timeout: float, *, show: bool = True) -> Finished:
        """TASK run to its end, TIMEOUT seconds at most, on the host of the probe ON (None: here); SHOW passes on what it says.

        Raises StepFailed when it cannot be started, or when the way to the other machine breaks.
        """
        there: HostSettings | None = self.probe(on, "host") if on else None
        around = {**environment.plain(os.environ), MARK: self._mark}
        if on and there and remote.is_remote(there):
            program = remote.program(on, there, task, around, self._root)
        else:
            argv = [str(task.script), *task.argv] if task.script else task.argv
            program = Program(argv, {**around, **task.variables}, self._root, task.given)
        done = commands.follow(program, self._bound(timeout), show=show)
        if done.status is None and not done.late:
            raise StepFailed(f'"{on}" cannot be used: {done.last or "the connection to it broke"}')
        return done

    def manager(self, service: str) -> tuple[Manager, str]:
        """The manager of SERVICE, which runs its commands on its machine, and the unit there; UsageError as `manager_of`."""
        return managers.manager_of(self._settings, service, self.run_on(managers.machine_of(self._settings, service)))

    def named(self, manager: str) -> Manager:
        """The MANAGER of that name, one of [managers.*], which runs its commands on its machine."""
        return managers.named(self._settings, manager, self.run_on(managers.machine(self._settings, manager)))

    def probe(self, name: str, kind: str) -> Any:
        """Settings of the probe NAME, which has to be of KIND."""
        found = self._settings.probes.get(name)
        if found is None or found.kind != kind:
            known = [other for other, probe in self._settings.probes.items() if probe.kind == kind]
            raise StepFailed(unknown(f"{kind} probe", name, known))
        return found

    def run_on(self, on: str | None) -> Run:
        """What runs the commands of a manager, on the host of the probe ON (None: here).

        Raises StepFailed when the way to the other machine breaks: that says nothing of what it manages.
        """

        def run(
            argv: Sequence[str],
            timeout: float,
            input: str | None = None,  # noqa: A002 - as subprocess calls it
            environment: Mapping[str, str] | None = None,
        ) -> Completed:
            given = None if input is None else input.encode()
            try:
                done = self.follow(Task(argv, variables=environment or {}, given=given), on, timeout, show=False)
            except NoProgram as error:  # as on another machine: a manager that knows two clients asks for each
                return Completed(MISSING, "", str(error))
            status = done.status or 0
            status = KILLED - status if status < 0 else status
            return Completed(status, done.stdout, done.stderr, timed_out=done.late, truncated=not done.whole)

        return run

"""What an action has at hand in the process of its step: programs here and there, service managers, databases, caches."""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pytest_runbook import clock
from pytest_runbook.errors import NoAnswer, StepFailed, unknown
from pytest_runbook.runbooks import environment, servers
from pytest_runbook.runbooks.actions import OPERATIONS
from pytest_runbook.runbooks.commands import Finished
from pytest_runbook.runbooks.order import Order
from pytest_runbook.runbooks.reach import KILLED, Reach
from pytest_runbook.runbooks.remote import Task

if TYPE_CHECKING:
    import psycopg
    import redis

    from pytest_runbook.managers import Manager

SPARE = 1.0
"""Seconds that a service manager gets less than the step has left, to say what it waited for."""
ROWS = 10_000
"""Rows of an answer that are taken."""
STATUSES = (126, 127)
"""With these a shell says that it could not run a program; all others below 128 are the program's own."""


class Rows(str):
    """Rows as lines of text; true when the first value of the first row is."""

    __slots__ = ("first",)
    first: Any

    def __new__(cls, rows: Sequence[Sequence[Any]], total: int) -> Self:
        """ROWS as a cursor fetches them, the first of TOTAL."""
        lines = ["  ".join(map(str, row)) for row in rows]
        if lines and total > len(lines):
            lines.append(f"… {total - len(lines):,} rows more")
        made = super().__new__(cls, "\n".join(lines))
        made.first = rows[0][0] if rows and rows[0] else None
        return made

    def __bool__(self) -> bool:
        return bool(self.first)


class Tools:
    """Made once for a step; as a context manager it closes what it opened."""

    def __init__(self, order: Order, *, timeout: float, mark: str = "") -> None:
        """The step of ORDER has TIMEOUT seconds from now; MARK is carried by every program that it starts."""
        self._order = order
        self._until = clock.monotonic() + timeout
        self._open = ExitStack()
        self._databases: dict[str, psycopg.Connection[tuple[Any, ...]]] = {}
        self.situation = order.situation
        self.settings, self.limits, self.facts = order.situation.settings, order.situation.limits, order.situation.facts
        self.root = order.root
        self._reach = Reach(self.settings, self.root, mark, bound=lambda seconds: min(seconds, self._left))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    # -- programs ------------------------------------------------------------------------------------------------------

    def run(self, *argv: str | os.PathLike[str], on: str | None = None, timeout: float | None = None) -> str:
        """Standard output of ARGV, on the host of the probe ON (None: here, in the root folder), within TIMEOUT seconds.

        Raises StepFailed when it ends with another status than 0, cannot be started, cannot be reached, or is late.
        """
        return _answer(self._follow(Task([os.fspath(word) for word in argv]), on, timeout))

    def script(self, file: str, *arguments: str, on: str | None = None, timeout: float | None = None) -> str:
        """Standard output of FILE, an executable that lies beside the runbook, with `RUNBOOK_*` variables; see `run`."""
        return _answer(self._follow(Task(arguments, self._script(file), environment.told(self._order)), on, timeout))

    def _follow(self, task: Task, on: str | None, timeout: float | None, *, show: bool = True) -> Finished:
        return self._reach.follow(task, on, self._left if timeout is None else min(timeout, self._left), show=show)

    def _script(self, file: str) -> Path:
        path = (self._order.folder / file).resolve()
        if not path.is_relative_to(self._order.folder.resolve()):
            raise StepFailed(f'the script "{file}" does not lie beside the runbook')
        if not path.is_file():
            raise StepFailed(f'there is no script "{file}" beside the runbook "{self.situation.runbook}"')
        if not path.stat().st_mode & stat.S_IXUSR:  # access() would refuse one on a noexec disk, also to send it
            raise StepFailed(f'the script "{file}" is not executable\n  hint: chmod +x remediation/{file}')
        return path

    @property
    def _left(self) -> float:
        return max(self._until - clock.monotonic(), 0.1)

    # -- services ------------------------------------------------------------------------------------------------------

    def manager(self, service: str | None = None) -> tuple[Manager, str]:
        """The manager of SERVICE (None: the service whose check failed), and its unit there; raises ManagerError."""
        return self._reach.manager(service or self.situation.service)

    def manage(self, operation: str, service: str | None = None) -> str:
        """What the manager of SERVICE says of OPERATION; what changes its unit is answered by how it is then."""
        manager, unit = self.manager(service)
        match operation:
            case "logs":
                return manager.logs(unit)
            case "version":
                return manager.version(unit) or "unknown"
            case "start" | "stop" | "restart":
                getattr(manager, operation)(unit, max(self._left - SPARE, SPARE))
            case "status":
                pass
            case other:
                raise StepFailed(unknown("operation of a service manager", other, OPERATIONS))
        status = manager.status(unit)
        since = f" since {clock.iso(status.since)}" if status.since else ""
        return f"{unit}: {status.state}{since}" + (f" ({status.detail})" if status.detail else "")

    # -- data ----------------------------------------------------------------------------------------------------------

    def sql(self, probe: str, statement: str, parameters: Sequence[Any] = ()) -> Rows:
        """Rows that STATEMENT answers, outside of a transaction, at the server of PROBE; StepFailed says what went wrong."""
        import psycopg  # late: as all libraries here, it costs a tenth of a second that most steps can save

        connection = self.database(probe)
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement.encode(), parameters or None)
                return Rows(cursor.fetchmany(ROWS) if cursor.description else [], cursor.rowcount)
        except psycopg.Error as error:
            raise servers.failed(error, probe) from None

    def database(self, name: str = "database") -> psycopg.Connection[tuple[Any, ...]]:
        """A connection to the server of the probe NAME, autocommit; the server ends what runs when the step's time is over."""
        if name not in self._databases:
            self._databases[name] = servers.database(name, self._probe(name, "postgresql"), self._left)
            self._open.callback(self._databases[name].close)
        return self._databases[name]

    def silent(self, name: str = "database") -> bool:
        """Whether nobody serves at the address of the probe NAME, a database or a cache: it refuses, hangs up or is late.

        Raises StepFailed with what else keeps us out: a restart mends no wrong password, no lack of connections, no recovery
        that takes its time, no name that does not resolve, and no certificate that is not accepted.
        """
        known = self.settings.probes.get(name)
        try:
            if known and known.kind == "redis":
                servers.ping(self.cache(name), name)
            else:
                self.database(name)
        except NoAnswer as error:
            print(error)
            return True
        return False

    def cache(self, name: str = "cache") -> redis.Redis:
        """A client of the server of the probe NAME, which answers text."""
        client = servers.cache(name, self._probe(name, "redis"))
        self._open.callback(client.close)
        return client

    def _probe(self, name: str, kind: str) -> Any:
        """Settings of the probe NAME, which has to be of KIND."""
        return self._reach.probe(name, kind)


def _answer(done: Finished) -> str:
    """What DONE said, when it went well."""
    why = f": {done.last}" if done.last else ""
    if done.status is None:
        raise StepFailed(f'"{done.name}" did not end in time{why}')
    if done.status < 0 or KILLED < done.status <= KILLED + signal.NSIG:
        number = -done.status if done.status < 0 else done.status - KILLED
        raise StepFailed(f'"{done.name}" was killed by signal {number}{why}')
    if done.status:
        own = None if done.status in STATUSES else done.status
        raise StepFailed(f'"{done.name}" ended with status {done.status}{why}', status=own)
    return done.stdout

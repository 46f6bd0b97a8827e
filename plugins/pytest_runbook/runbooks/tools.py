"""What an action has at hand in the process of its step: programs here and there, service managers, databases, caches."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pytest_runbook import clock
from pytest_runbook.errors import StepFailed, unknown
from pytest_runbook.runbooks import commands, environment, servers
from pytest_runbook.runbooks.commands import Finished, Program
from pytest_runbook.runbooks.family import MARK
from pytest_runbook.runbooks.order import Order

if TYPE_CHECKING:
    import psycopg
    import redis

ROWS = 10_000
"""Rows of an answer that are taken."""
STATUSES = (126, 127)
"""With these a shell says that it could not run a program; all others below 128 are the program's own."""


class Rows(str):
    """Rows as lines of text; true when the first value of the first row is."""

    __slots__ = ("first",)
    first: Any

    def __new__(cls, rows: Sequence[Sequence[Any]]) -> Self:
        """ROWS as a cursor fetches them."""
        made = super().__new__(cls, "\n".join("  ".join(map(str, row)) for row in rows))
        made.first = rows[0][0] if rows and rows[0] else None
        return made

    def __bool__(self) -> bool:
        return bool(self.first)


class Tools:
    """Made once for a step; as a context manager it closes what it opened."""

    def __init__(self, order: Order, *, timeout: float, mark: str = "") -> None:
        """The step of ORDER has TIMEOUT seconds from now; MARK is carried by every program that it starts."""
        self._order, self._mark = order, mark
        self._until = clock.monotonic() + timeout
        self._open = ExitStack()
        self._databases: dict[str, psycopg.Connection[tuple[Any, ...]]] = {}
        self.situation = order.situation
        self.settings, self.limits, self.facts = order.situation.settings, order.situation.limits, order.situation.facts
        self.root = order.root

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    # -- programs ------------------------------------------------------------------------------------------------------

    def run(self, *argv: str, on: str | None = None, timeout: float | None = None) -> str:
        """Standard output of ARGV, on the host of the probe ON (None: this machine), within TIMEOUT seconds.

        Raises StepFailed when it ends with another status than 0, cannot be started, cannot be reached, or is late.
        """
        words = list(map(os.fspath, argv))
        program = Program(words, self._environment(), self.root)
        return self._done(program, on, timeout, words, {})

    def script(self, file: str, *arguments: str, on: str | None = None, timeout: float | None = None) -> str:
        """Standard output of FILE, an executable that lies beside the runbook, with `RUNBOOK_*` variables; see `run`."""
        path, told = self._script(file), environment.told(self._order)
        program = Program([str(path), *arguments], {**self._environment(), **told}, self.root)
        return self._done(program, on, timeout, arguments, told, path)

    def _done(
        self,
        program: Program,
        on: str | None,
        timeout: float | None,
        argv: Sequence[str],
        variables: Mapping[str, str],
        script: Path | None = None,
    ) -> str:
        from pytest_runbook.runbooks import remote  # late: most steps stay on this machine

        there = self._probe(on, "host") if on else None
        far = there if there is not None and remote.is_remote(there) else None
        if far is not None and on:
            around = {"environment": program.environment, "folder": self.root}
            program = remote.program(on, far, argv, variables=variables, script=script, **around)  # type: ignore[arg-type]
        done = commands.follow(program, min(self._left, timeout or self._left))
        if far is not None and (why := remote.lost(far, done)):
            raise StepFailed(why)
        return _answer(done)

    def _script(self, file: str) -> Path:
        path = (self._order.folder / file).resolve()
        if not path.is_relative_to(self._order.folder.resolve()):
            raise StepFailed(f'the script "{file}" does not lie beside the runbook')
        if not path.is_file():
            raise StepFailed(f'there is no script "{file}" beside the runbook "{self.situation.runbook}"')
        if not os.access(path, os.X_OK):
            raise StepFailed(f'the script "{file}" is not executable\n  hint: chmod +x remediation/{file}')
        return path

    def _environment(self) -> dict[str, str]:
        return {**environment.plain(os.environ), MARK: f"{self._mark}.{secrets.token_hex(4)}"}

    @property
    def _left(self) -> float:
        return max(self._until - clock.monotonic(), 0.1)

    # -- services ------------------------------------------------------------------------------------------------------

    def manager(self, service: str | None = None) -> Any:
        """The manager of SERVICE (None: the service whose check failed), and its unit there; raises ManagerError."""
        from pytest_runbook.managers import manager_of  # type: ignore[import-not-found, unused-ignore]

        return manager_of(self.settings, service or self.situation.service, self._execute)

    def manage(self, operation: str, service: str | None = None) -> str:
        """What the manager of SERVICE says of OPERATION; raises ManagerError."""
        raise NotImplementedError

    def _execute(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    # -- data ----------------------------------------------------------------------------------------------------------

    def sql(self, probe: str, statement: str, parameters: Sequence[Any] = ()) -> Rows:
        """Rows that STATEMENT answers, outside of a transaction, at the server of PROBE; StepFailed says what went wrong."""
        import psycopg  # late: as all libraries here, it costs a tenth of a second that most steps can save

        connection = self.database(probe)
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement.encode(), parameters or None)
                return Rows(cursor.fetchmany(ROWS) if cursor.description else [])
        except psycopg.Error as error:
            raise servers.failed(error, probe) from None

    def database(self, name: str = "database") -> psycopg.Connection[tuple[Any, ...]]:
        """A connection to the server of the probe NAME, autocommit; the server ends what runs when the step's time is over."""
        if name not in self._databases:
            made = servers.database(name, self._probe(name, "postgresql"), self._left)
            self._databases[name] = self._open.enter_context(made)
        return self._databases[name]

    def cache(self, name: str = "cache") -> redis.Redis:
        """A client of the server of the probe NAME, which answers text."""
        client = servers.cache(name, self._probe(name, "redis"))
        self._open.callback(client.close)
        return client

    def _probe(self, name: str, kind: str) -> Any:
        """Settings of the probe NAME, which has to be of KIND."""
        found = self.settings.probes.get(name)
        if found is None or found.kind != kind:
            known = [other for other, probe in self.settings.probes.items() if probe.kind == kind]
            raise StepFailed(unknown(f"{kind} probe", name, known))
        return found


def _answer(done: Finished) -> str:
    if done.status == 0:
        return done.stdout
    why = f": {done.last}" if done.last else ""
    if done.status < 0 or done.status > 128:
        number = -done.status if done.status < 0 else done.status - 128
        raise StepFailed(f'"{done.name}" was killed by signal {number}{why}')
    own = None if done.status in STATUSES else done.status
    raise StepFailed(f'"{done.name}" ended with status {done.status}{why}', status=own)

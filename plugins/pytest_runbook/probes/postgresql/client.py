"""Read-only questions to one PostgreSQL server: connections that are reused, bounded and closed, and its errors in our words.

Not psycopg_pool: on a dead server it retries in the background and answers with a time-out of its own, and what a check
must tell is why *this* attempt to connect failed.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from pytest_runbook import clock
from pytest_runbook.errors import Unmeasured, Unreachable

if TYPE_CHECKING:
    import psycopg
    from psycopg import AsyncConnection, sql

Row: TypeAlias = dict[str, Any]
Params: TypeAlias = Sequence[Any] | Mapping[str, Any] | None
Question: TypeAlias = "str | sql.Composed"

MARK = "/* pytest-runbook */"
"""Stands in every statement that the engine itself sends, so that it can leave them out of what it reports."""
GONE = ("08", "57P", "53300", "57014")
"""SQLSTATE (or its beginning): connection lost, server going down or starting, no connection left, statement timed out."""
# libpq speaks untranslated English; only what follows a severity such as FATAL may come in the server's own language.
TRANSPORT = re.compile(
    r"refused|reset by peer|timed? ?out|timeout|closed the connection|socket closed|connection is closed|unreachable"
    r"|no route to host|could not (translate|receive|send)|failed to resolve|EOF detected|broken pipe"
    r"|no such file or directory|too many (clients|connections)|remaining connection slots"
    r"|the database system is (starting up|shutting down|in recovery|not yet accepting|not accepting)",
    re.IGNORECASE,
)
ATTEMPT = (
    r"^(- host: .*?, hostaddr: ('[^']*'|None): )?"
    r"(connection (failed|is bad): )?(connection to server (at|on) .*? failed: )?"
)
PREFIX = re.compile(ATTEMPT + r"(FATAL:\s+)?")
SILENCE = re.compile(
    ATTEMPT + r"(could not (receive|send) data (from|to) server: |could not send .*? packet: |SSL (SYSCALL )?error: )?"
    r"(connection (refused|reset by peer|timed out)|(connection )?timeout expired|server closed the connection unexpectedly"
    r"|EOF detected|unexpected EOF|broken pipe|no such file or directory)",
    re.IGNORECASE,
)
"""What is said of an address at which nobody serves."""
UNTRIED = re.compile(
    ATTEMPT + r"(could not create socket: )?"
    r"(cannot assign requested address|address family not supported|network is unreachable)",
    re.IGNORECASE,
)
"""What is said of an address to which nothing was sent: the IPv6 one of `localhost`, say, where that is switched off."""


class Client:
    """As many connections to one server as there are questions at once; each is asked read-only, in bounded time."""

    def __init__(
        self,
        target: str,
        address: Mapping[str, Any],
        *,
        connections: int,
        timeout: float,
        connect_timeout: float,
        rows: int,
    ) -> None:
        """TARGET is the name for people, ADDRESS psycopg's connection parameters; ROWS is the most one answer may have."""
        self._target, self._address = target, address
        self._timeout, self._connect_timeout, self._most = timeout, connect_timeout, rows
        self._slots = asyncio.Semaphore(connections)
        self._idle: list[AsyncConnection[Row]] = []
        self._refusal: tuple[float, Unmeasured] | None = None

    async def rows(self, question: Question, params: Params = None) -> list[Row]:
        """Rows that QUESTION, one statement, answers; raises Unreachable or Unmeasured."""
        asked = clock.monotonic()
        async with self._slots:
            return await self._rows(question, params, asked)

    async def _rows(self, question: Question, params: Params, asked: float) -> list[Row]:
        import psycopg  # late: psycopg costs a tenth of a second at start-up

        while self._idle:
            connection = self._idle.pop()
            try:
                return await self._asked(connection, question, params)
            except psycopg.OperationalError as error:
                # A connection that died while it lay idle says nothing about the server of now: ask on another one.
                if not connection.closed:
                    raise explained(error, self._target) from None
            except psycopg.Error as error:
                raise explained(error, self._target) from None
        try:
            return await self._asked(await self._connected(asked), question, params)
        except psycopg.Error as error:
            raise explained(error, self._target) from None

    async def close(self) -> None:
        """Close the connections."""
        while self._idle:
            await self._idle.pop().close()

    async def _connected(self, asked: float) -> AsyncConnection[Row]:
        """A new connection; or the error of another attempt, if that failed since this one's question was ASKED.

        So twenty questions to a server that never answers take as long as one, not twenty times as long.
        """
        import psycopg
        from psycopg.rows import dict_row

        if self._refusal and self._refusal[0] > asked:
            error = self._refusal[1]
            raise type(error)(str(error))
        try:
            async with asyncio.timeout(self._connect_timeout):
                # Unprepared: server-side statements do not survive a connection pooler between us and the server.
                return await psycopg.AsyncConnection.connect(
                    **self._address, autocommit=True, prepare_threshold=None, row_factory=dict_row
                )
        except TimeoutError:
            limit = clock.duration(self._connect_timeout)
            error = Unreachable(f'"{self._target}" did not accept a connection within {limit}')
        except psycopg.Error as failure:
            error = explained(failure, self._target)
        self._refusal = clock.monotonic(), error
        raise error

    async def _asked(self, connection: AsyncConnection[Row], question: Question, params: Params) -> list[Row]:
        work = asyncio.ensure_future(self._answer(connection, question, params))
        try:
            async with asyncio.timeout(self._timeout):
                return await asyncio.shield(work)
        except TimeoutError:
            raise Unreachable(f'"{self._target}" did not answer within {clock.duration(self._timeout)}') from None
        finally:
            if not work.done():
                # Cancelled, psycopg would spend ten seconds on asking a silent server to cancel; without its socket it ends.
                _cut(connection)
                await asyncio.wait({work}, timeout=1)
                work.cancel()
            if work.done() and not work.cancelled() and work.exception() is None and not connection.closed:
                self._idle.append(connection)
            else:
                await connection.close()

    async def _answer(self, connection: AsyncConnection[Row], question: Question, params: Params) -> list[Row]:
        async with _reading(connection, round(self._timeout * 900)):
            rows: list[Row] = []
            async with connection.cursor() as cursor:
                # A stream: an answer of any length never lies in memory whole, and it must be one statement.
                stream = cast("AsyncGenerator[Row, None]", cursor.stream(question, params, size=_chunk()))
                async with aclosing(stream):
                    async for row in stream:
                        if len(rows) == self._most:
                            raise Unmeasured(
                                f'"{self._target}" answered more than {self._most} rows\n  hint: add a LIMIT'
                            )
                        rows.append(row)
            return rows


@asynccontextmanager
async def _reading(connection: AsyncConnection[Row], milliseconds: int) -> AsyncIterator[None]:
    """A transaction that may not write, whose statements the server itself stops after MILLISECONDS."""
    await connection.execute(f"BEGIN READ ONLY; SET LOCAL statement_timeout = {milliseconds:d}")
    try:
        yield
    except BaseException:
        if not connection.closed:
            await connection.execute("ROLLBACK")
        raise
    await connection.execute("COMMIT")


def _cut(connection: AsyncConnection[Row]) -> None:
    if not connection.closed:
        with socket.socket(fileno=os.dup(connection.fileno())) as wire:
            wire.shutdown(socket.SHUT_RDWR)


def explained(error: psycopg.Error, target: str) -> Unmeasured:
    """What ERROR says about TARGET: Unreachable when it does not serve, Unmeasured when we may not or cannot see."""
    state = error.sqlstate or ""
    first = error.diag.message_primary or _telling(error)
    said = f'"{target}": {_lowered(PREFIX.sub("", first))}'
    if state.startswith(GONE) if state else TRANSPORT.search(first):
        return Unreachable(said)
    return Unmeasured(said + HINTS.get(state, ""))


def silent(error: psycopg.Error) -> bool:
    """Whether ERROR of connecting says of every address that was tried that nobody serves there: refused, hung up, or late.

    A server that says why it lets nobody in serves, in whatever language; and of one that nobody can get to, nobody can tell.
    """
    tried = [line for line in _attempts(error) if not UNTRIED.match(line)]
    return bool(tried) and all(SILENCE.match(line) for line in tried)


def _telling(error: psycopg.Error) -> str:
    """Of several addresses the one counts at which a server spoke: `localhost` is two, and the other one may be nobody's."""
    lines = _attempts(error)
    return next((line for line in lines if "FATAL:" in line), lines[0] if lines else "")


def _attempts(error: psycopg.Error) -> list[str]:
    """What ERROR says, a line for each address that was tried; libpq indents what explains it."""
    lines = str(error).splitlines()
    return [line for line in lines if line.strip() and not line.startswith(("\t", "Multiple connection attempts"))]


def _lowered(text: str) -> str:
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]


HINTS = {
    "25006": "\n  hint: the probe reads only; what changes the system is a step of a runbook",
    "42501": "\n  hint: GRANT pg_monitor TO the role of this probe",
}


def _chunk() -> int:
    from psycopg import capabilities

    return 100 if capabilities.has_stream_chunked() else 1

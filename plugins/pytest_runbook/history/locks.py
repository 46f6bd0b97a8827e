"""Locks: one fix at a time on one target, also when holder and taker are other processes, or other machines.

A lock ends when it is released, when its process is gone, or when its holder fell silent for the lease. The clocks of two
machines differ, and one may jump. So no wall clock decides alone that a lease is over: it says when to look, and the lock
is taken when the holder does not renew it while the taker watches.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from threading import Event, Thread
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from pytest_runbook import clock
from pytest_runbook.errors import HistoryError, RunbookError
from pytest_runbook.history.base import Part, changed, process_of
from pytest_runbook.history.schema import locks, runs

BEATS = 5
"""How often a holder renews within its lease: a few may fail, when the database is restarted for example."""
WATCH = 0.5
"""Share of its lease for which a silent holder is watched; longer than a beat."""


class Held(RunbookError):
    """Somebody else holds the lock."""

    def __init__(self, target: str, run: str, host: str, pid: int, since: datetime) -> None:
        super().__init__(target, run, host, pid, since)
        self.target, self.run, self.host, self.pid, self.since = target, run, host, pid, since

    def __str__(self) -> str:
        return (
            f'"{self.target}" is locked by the run "{self.run}" '
            f"(process {self.pid} on {self.host}) since {clock.iso(self.since)}\n"
            "  hint: wait until that run has ended; a run that died gives its locks up by itself"
        )


class Lock:
    """A lock that this process holds until `release`, or as long as the `with` lasts; a thread renews it."""

    def __init__(self, owner: Locks, target: str, run: str, lease: float) -> None:
        self.target, self.run, self.lease, self.token = target, run, lease, uuid4().hex
        self.after: str | None = None
        """The run that it was taken from, because that had died or was silent."""
        self._owner, self._taken, self._silent, self._released = owner, False, False, Event()
        self._renewed, self._refused = clock.boottime(), ""

    @property
    def lost(self) -> bool:
        """Whether somebody else may act on the target; once true, it stays true.

        By our own clock as well: a process that was stopped for a lease, or whose machine was suspended, knows it before it
        could ask anybody.
        """
        self._silent = self._silent or clock.boottime() - self._renewed >= self.lease
        return self._taken or self._silent

    @property
    def why(self) -> str:
        """Why it is lost, in words."""
        if self._taken:
            return "another run has it by now"
        if self._refused:
            return f"it could not be renewed for {clock.duration(self.lease)}: {self._refused}"
        return "this process stood still for too long"

    @property
    def local(self) -> bool:
        """Whether only processes of this machine can take it."""
        return self._owner.local

    def taken(self) -> bool:
        """Whether another has it, as the history says now; one that is only silent may be nobody else's yet."""
        self._taken = self._taken or not self._owner.knows(self)
        return self._taken

    def leave(self) -> None:
        """Hold it no longer, and have whoever takes it next know of the run that it was taken from."""
        self._released.set()
        with suppress(HistoryError):
            self._owner.leave(self)

    def release(self) -> None:
        """Give the lock back; nothing happens when it was left, or is lost, for then it is another's."""
        if self._released.is_set():
            return
        self._released.set()
        # When the database does not answer, the lock ends with this process or with its lease.
        with suppress(HistoryError):
            self._owner.give_back(self)

    def keep(self, asked: float) -> None:
        """Begin to renew what was asked for, and given, at ASKED of `clock.boottime`."""
        self._renewed = asked
        Thread(target=self._keep, name=f"lock of {self.target}", daemon=True).start()

    def _keep(self) -> None:
        while not self._released.wait(self.lease / BEATS) and not self.lost:
            asked, self._refused = clock.boottime(), self._refused or "the history does not answer"
            try:
                if self._owner.renew(self):
                    self._renewed, self._refused = asked, ""
                else:
                    self._taken = True
            except HistoryError as error:  # it may answer the next time, before the lease is over
                self._refused = str(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class Locks(Part):
    """Locks of this system."""

    def lock(self, target: str, run: str, lease: float = 60.0, *, tell: Callable[[str], None] = lambda _: None) -> Lock:
        """The lock of TARGET for RUN; raises Held when somebody else has it.

        LEASE is how many seconds a holder may be silent. That of a process of this machine that is gone is taken at once;
        any other that was silent for its lease is watched for half a lease more, in here, before it is taken; TELL is told so.
        """
        lock = Lock(self, target, run, lease)
        while True:
            asked = clock.boottime()
            seen = self._look(target)
            if seen is None:
                given = self._insert(lock)
            elif process_of(seen).gone:
                given = self._replace(seen, lock)
            elif self._silent(seen):
                tell(_watched(seen))
                asked, given = self._outlast(seen, lock)
            else:
                raise _held(seen)
            if given:
                lock.keep(asked)
                return lock

    def renew(self, lock: Lock) -> bool:
        """Say that the holder of LOCK lives, and so does its run; False when the lock is another's by now."""
        now = self._now()
        beat = update(locks).where(locks.c.token == lock.token).values(renewed=now, beats=locks.c.beats + 1)
        with self._database.write() as connection:
            connection.execute(update(runs).where(runs.c.id == lock.run).values(seen=now))
            return changed(connection, beat)

    def knows(self, lock: Lock) -> bool:
        """Whether LOCK is on record as its holder's: nobody has taken it, however long it was silent."""
        with self._database.read() as connection:
            return bool(connection.execute(select(locks.c.token).where(locks.c.token == lock.token)).all())

    def leave(self, lock: Lock) -> None:
        """Make LOCK again the lock of the run that it was taken from."""
        with self._database.write() as connection:
            connection.execute(update(locks).where(locks.c.token == lock.token).values(run=lock.after or lock.run))

    def give_back(self, lock: Lock) -> None:
        """Remove LOCK, unless it is another's by now."""
        with self._database.write() as connection:
            connection.execute(delete(locks).where(locks.c.token == lock.token))

    def _look(self, target: str) -> Any:
        with self._database.read() as connection:
            found = select(locks).where(self._ours(locks), locks.c.target == target)
            return connection.execute(found).one_or_none()

    def _outlast(self, seen: Any, lock: Lock) -> tuple[float, bool]:
        """Watch a silent holder, then take its lock; Held when it turns out to live."""
        time.sleep(seen.lease * WATCH)
        asked = clock.boottime()
        given = self._replace(seen, lock)
        if not given and (alive := self._look(lock.target)):
            raise _held(alive)
        return asked, given

    def _insert(self, lock: Lock) -> bool:
        with suppress(IntegrityError), self._database.write() as connection:
            connection.execute(insert(locks).values(**self._scope, target=lock.target, **self._values(lock)))
            return True
        return False

    def _replace(self, seen: Any, lock: Lock) -> bool:
        """Compare and set: only what was SEEN, not renewed and not taken since, becomes LOCK."""
        same = (locks.c.token == seen.token, locks.c.beats == seen.beats)
        with self._database.write() as connection:
            given = changed(connection, update(locks).where(*same).values(**self._values(lock)))
        lock.after = seen.run if given else None
        return given

    def _values(self, lock: Lock) -> dict[str, Any]:
        now, beginning = self._now(), {"token": lock.token, "run": lock.run, "lease": lock.lease, "beats": 0}
        return {**beginning, "since": now, "renewed": now, **self._holder()}


def _watched(row: Any) -> str:
    return (
        f'waits {clock.duration(row.lease * WATCH)} for "{row.target}": since {clock.iso(row.renewed)} nothing was heard of '
        f'the run "{row.run}" (process {row.pid} on {row.host}), which has it locked'
    )


def _held(row: Any) -> Held:
    return Held(row.target, row.run, row.host, row.pid, row.since)

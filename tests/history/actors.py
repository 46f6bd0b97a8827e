"""Processes of their own that have a history open, and do with it what they are told."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cached_property, partial
from multiprocessing.connection import Connection
from time import sleep
from typing import Any

from pytest_runbook import clock
from pytest_runbook.history import Lock, Store
from pytest_runbook.process import Process

SYSTEM = ("shop", "production")
FAR = "another machine"
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    ["pytest", "psycopg", "sqlalchemy.dialects.postgresql.psycopg", "pytest_runbook.history"]
)


def far_process(pid: int | None = None) -> Process:
    """This process, as it looks from a machine that cannot look at it."""
    mine = Process.current()
    return replace(mine, host="far", place=FAR, pid=pid or mine.pid)


def ahead(seconds: float) -> Callable[[], datetime]:
    """A wall clock that is SECONDS ahead."""
    return lambda: clock.now() + timedelta(seconds=seconds)


def open_store(url: str, *, far: bool = False, skew: float = 0.0) -> Store:
    return Store.open(url, *SYSTEM, now=ahead(skew), process=far_process() if far else None)


class Stage:
    """What an actor can do: all that a store can, with locks by name."""

    def __init__(self, url: str, far: bool, skew: float) -> None:
        self._how, self._locks = partial(open_store, url, far=far, skew=skew), dict[str, Lock]()

    @cached_property
    def _store(self) -> Store:
        return self._how()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def lock(self, target: str, run: str, lease: float) -> bool:
        self._locks[target] = self._store.lock(target, run, lease)
        return True

    def why(self, target: str) -> str:
        return self._locks[target].why

    def lost(self, target: str) -> bool:
        return self._locks[target].lost

    def release(self, target: str) -> None:
        self._locks.pop(target).release()

    def start_under(self, target: str, intent: int) -> bool:
        return self._store.start(intent, self._locks[target])

    def work(self) -> None:
        """Remediate for ever."""
        run = f"run-{os.getpid()}"
        self.begin_run(run)
        while True:
            with self._store.lock("database", run) as lock:
                attempt = self.begin_attempt(run, "database-down", "database", ["database/availability::answers"])
                for step in ("look", "restart"):
                    intent = self.intend(attempt, step, "restart", "database", [f"{step} database"])
                    self._store.start(intent, lock)
                    self.finish(intent, "done", "output " * 100, 0.1)
                self.end_attempt(attempt, "remediated")
                self.watch("database/availability::answers", "database-down", clock.now() + timedelta(hours=1))


def _act(pipe: Connection, url: str, far: bool, skew: float) -> None:
    stage = Stage(url, far, skew)
    pipe.send("ready")
    while True:
        name, arguments, moment = pipe.recv()
        sleep(max(0.0, moment - clock.monotonic()))
        try:
            pipe.send(getattr(stage, name)(*arguments))
        except Exception as error:
            pipe.send(error)


class Actor:
    """A process that has the history at URL open."""

    def __init__(self, url: str, far: bool, skew: float) -> None:
        self._pipe, theirs = PROCESSES.Pipe()
        self._process = PROCESSES.Process(target=_act, args=(theirs, url, far, skew), daemon=True)
        self._process.start()
        theirs.close()

    def tell(self, name: str, *arguments: Any, at: float = 0.0) -> None:
        """Begin to do NAME, AT a moment of the monotonic clock, which processes of one machine share."""
        self._pipe.send((name, arguments, at))

    def answer(self) -> Any:
        assert self._pipe.poll(30), "the actor does not answer"
        told = self._pipe.recv()
        if isinstance(told, Exception):
            raise told
        return told

    def do(self, name: str, *arguments: Any) -> Any:
        self.tell(name, *arguments)
        return self.answer()

    def signal(self, number: signal.Signals) -> None:
        assert self._process.pid
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        """As `kill -9` does."""
        self.signal(signal.SIGKILL)
        self._process.join(10)

    def close(self) -> None:
        if self._process.is_alive():
            self.kill()
        self._pipe.close()
        self._process.join(10)
        self._process.close()


class Actors:
    """Starts processes, and ends them all."""

    def __init__(self, url: str) -> None:
        self.url, self._all = url, list[Actor]()

    def __call__(self, count: int = 1, *, far: bool = False, skew: float = 0.0, opened: bool = True) -> list[Actor]:
        """COUNT processes that have OPENED the history, on a FAR machine, their wall clock SKEW seconds ahead."""
        started = [Actor(self.url, far, skew) for _ in range(count)]
        self._all += started
        assert [actor.answer() for actor in started] == ["ready"] * count
        for actor in started if opened else ():
            actor.do("rows")
        return started

    def one(self, *, far: bool = False, skew: float = 0.0) -> Actor:
        return self(far=far, skew=skew)[0]


@contextmanager
def actors_of(url: str) -> Iterator[Actors]:
    actors = Actors(url)
    try:
        yield actors
    finally:
        for actor in actors._all:
            actor.close()


def race(actors: list[Actor], name: str, *arguments: Any) -> list[Any]:
    """What ACTORS get who all do NAME at the same moment; errors are answers."""
    moment = clock.monotonic() + 0.1
    for actor in actors:
        actor.tell(name, *arguments, at=moment)
    return [_caught(actor.answer) for actor in actors]


def _caught(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except Exception as error:
        return error

"""Runs checks: coroutine checks that need only probes together, ahead of pytest's loop; all others when pytest comes to them."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import pytest

from pytest_runbook.concurrency.attempts import Confirmation, Execution, Trial, attempt, attempt_blocking
from pytest_runbook.concurrency.loop import LoopThread
from pytest_runbook.errors import TimedOut, UsageError, unknown
from pytest_runbook.model import Check
from pytest_runbook.probes.base import Probe

CHECK = pytest.StashKey[Check]()
"""Where an item keeps the check that it is."""
BEHIND_SETUP = ("skip", "skipif", "usefixtures")
"""Marks that pytest itself settles before the call: such checks are not started ahead of it."""


class Probes(Mapping[str, Probe[Any]]):
    """Every probe of the settings by its name: for a check that is made for many targets by a parameter."""

    def __init__(self, names: Iterable[str], get: Callable[[str], Probe[Any]]) -> None:
        self._names = frozenset(names)
        self._get = get

    def __getitem__(self, name: str) -> Probe[Any]:
        if name not in self._names:
            raise UsageError(unknown("probe", name, self._names, "declare it as [probes.NAME] in the settings"))
        return self._get(name)

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._names))

    def __len__(self) -> int:
        return len(self._names)


class Runner:
    """Starts, waits for and ends the checks of one pytest session (one per xdist worker)."""

    def __init__(
        self,
        values: Mapping[str, Any],
        makers: Mapping[str, Callable[[], Probe[Any]]],
        *,
        confirm: Confirmation,
        timeout: float,
        total: int,
    ) -> None:
        """VALUES are the arguments that need no set-up; MAKERS make the probes, on the loop, when first asked for.

        TIMEOUT is the seconds of an attempt of a check that names none; TOTAL is how many checks wait at once, at most.
        """
        self._values = {**values, "probes": Probes(makers, self.probe)}
        self._makers = makers
        self._confirm = confirm
        self._timeout = timeout
        self._gate = asyncio.Semaphore(total)
        self._probes: dict[str, Probe[Any]] = {}
        self._ahead: dict[str, concurrent.futures.Future[Execution]] = {}
        self._loop = LoopThread()
        self._started = False

    @property
    def values(self) -> Mapping[str, Any]:
        """The arguments that need no set-up, `probes` among them."""
        return self._values

    def ahead(self, items: Iterable[pytest.Item]) -> None:
        """Start every check of ITEMS that can run ahead of pytest's loop."""
        for item in items:
            names = self._arguments_ahead(item)
            if names is None:
                continue
            try:
                arguments = {name: self._argument(item, name) for name in names}
            except Exception:  # noqa: S112 - the fixture of that name fails likewise, in its set-up
                continue
            call = functools.partial(item.function, **arguments)  # type: ignore[attr-defined]
            self._ahead[item.nodeid] = self._submit(item.stash[CHECK], call)

    def execute(self, item: pytest.Function) -> Execution:
        """The finished execution of ITEM, started ahead or run now."""
        future = self._ahead.pop(item.nodeid, None)
        if future is not None:
            return self._wait(item.stash[CHECK], future)
        return self._in_turn(item, item.stash[CHECK])

    def _in_turn(self, item: pytest.Function, check: Check) -> Execution:
        names = inspect.signature(item.obj).parameters
        call = functools.partial(item.obj, **{name: item.funcargs[name] for name in names if name in item.funcargs})
        if inspect.iscoroutinefunction(item.obj):
            return self._wait(check, self._submit(check, call))
        return attempt_blocking(check, call, self._confirm, check.timeout or self._timeout)

    def _wait(self, check: Check, future: concurrent.futures.Future[Execution]) -> Execution:
        try:
            return self._loop.wait(future)
        except TimedOut as error:  # the loop is stuck: whoever waits on it has no result
            trial = Trial(check, self._confirm)
            with trial.attempt():
                raise error
            return trial.execution

    def probe(self, name: str) -> Probe[Any]:
        """The probe called NAME, made on the loop when first asked for, there or from another thread."""
        if name not in self._probes:
            self._start()
            if self._loop.is_current():
                self._probes[name] = self._makers[name]()
            else:
                self._probes[name] = self._loop.wait(self._loop.submit(self._make(name)))
        return self._probes[name]

    def close(self) -> None:
        """Cancel what still runs and close every probe."""
        if self._started:
            self._loop.stop(self._close_probes)

    def _start(self) -> None:
        if not self._started:
            self._started = True
            self._loop.start()

    async def _make(self, name: str) -> Probe[Any]:
        return self._makers[name]()

    def _argument(self, item: pytest.Item, name: str) -> Any:
        parameters = _parameters(item)
        if name in parameters:
            return parameters[name]
        return self._values[name] if name in self._values else self.probe(name)

    def _arguments_ahead(self, item: pytest.Item) -> Sequence[str] | None:
        """Names of the arguments of ITEM when all of them can be had without pytest's set-up; None otherwise."""
        function = getattr(item, "function", None)
        if CHECK not in item.stash or not inspect.iscoroutinefunction(function) or getattr(item, "cls", None):
            return None
        if any(item.get_closest_marker(name) for name in BEHIND_SETUP):
            return None
        free = {"request", *_parameters(item), *self._values, *self._makers}
        if not free.issuperset(getattr(item, "fixturenames", ())):
            return None
        return tuple(inspect.signature(function).parameters)

    def _submit(self, check: Check, call: Callable[[], Awaitable[Any]]) -> concurrent.futures.Future[Execution]:
        self._start()
        return self._loop.submit(self._bounded(check, call))

    async def _bounded(self, check: Check, call: Callable[[], Awaitable[Any]]) -> Execution:
        async with self._gate:
            return await attempt(check, call, self._confirm, check.timeout or self._timeout)

    async def _close_probes(self) -> None:
        await asyncio.gather(*(probe.close() for probe in self._probes.values()), return_exceptions=True)


def _parameters(item: pytest.Item) -> Mapping[str, Any]:
    callspec = getattr(item, "callspec", None)
    return callspec.params if callspec is not None else {}

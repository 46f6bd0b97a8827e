"""Runs checks: coroutine checks that need only probes together, ahead of pytest's loop; all others when pytest comes to them."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import pytest

from pytest_runbook import clock, fixtures
from pytest_runbook.concurrency.attempts import Confirmation, Execution, Trial, attempt, attempt_blocking
from pytest_runbook.concurrency.loop import LoopThread
from pytest_runbook.errors import Stalled, TimedOut, UsageError, unknown
from pytest_runbook.model import Check
from pytest_runbook.probes.base import Probe

CHECK = pytest.StashKey[Check]()
"""Where an item keeps the check that it is."""
GRACE = 10.0
"""Seconds beyond twice its time after which a check that cannot be cancelled is given up."""
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
        self._begun: dict[str, float] = {}
        self._ahead: dict[str, concurrent.futures.Future[Execution]] = {}
        self._loop = LoopThread()
        self._started = False
        self._look = 0

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

    def look_again(self, items: Iterable[pytest.Item], confirm: Confirmation) -> None:
        """Begin a later look: ITEMS are looked at afresh, nothing of what was seen before is taken for an answer."""
        self._look += 1
        self._confirm = confirm
        self._begun.clear()
        self.ahead(items)

    def execute(self, item: pytest.Function) -> Execution:
        """The finished execution of ITEM, started ahead or run now."""
        future = self._ahead.pop(item.nodeid, None)
        if future is not None:
            return self._wait(item.stash[CHECK], future)
        return self._in_turn(item, item.stash[CHECK])

    def _in_turn(self, item: pytest.Function, check: Check) -> Execution:
        names = _arguments(item.function)
        call = functools.partial(item.obj, **{name: item.funcargs[name] for name in names if name in item.funcargs})
        if inspect.iscoroutinefunction(item.obj):
            return self._wait(check, self._submit(check, call))
        return attempt_blocking(check, call, self._confirm, check.timeout or self._timeout, self._look)

    def _wait(self, check: Check, future: concurrent.futures.Future[Execution]) -> Execution:
        try:
            return self._loop.wait(future, lambda: self._overdue(check))
        except (Stalled, TimedOut) as error:  # whoever waits on what does not end has no result
            trial = Trial(check, self._confirm, self._look)
            with trial.attempt():
                raise error
            return trial.execution

    def probe(self, name: str) -> Probe[Any]:
        """The probe called NAME, made on the loop when first asked for, there or from another thread."""
        if name not in self._probes:
            self._start()
            return self._made(name) if self._loop.is_current() else self._loop.wait(self._loop.submit(self._make(name)))
        return self._probes[name]

    def _made(self, name: str) -> Probe[Any]:
        """On the loop, and nowhere else, so that no probe is made twice."""
        if name not in self._probes:
            self._probes[name] = self._makers[name]()
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
        return self._made(name)

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
        for name in getattr(item, "fixturenames", ()):
            known = name in self._values or name in self._makers
            if name not in _parameters(item) and not (known and _is_ours(item, name)):
                return None
        return _arguments(function)

    def _submit(self, check: Check, call: Callable[[], Awaitable[Any]]) -> concurrent.futures.Future[Execution]:
        self._start()
        return self._loop.submit(self._bounded(check, call))

    def _overdue(self, check: Check) -> bool:
        """Whether CHECK, which is cancelled when its time is up, has gone on for much longer than all its attempts may."""
        begun = self._begun.get(check.id)
        most = self._confirm.of * ((check.timeout or self._timeout) + self._confirm.interval)
        return begun is not None and clock.monotonic() - begun > 2 * most + GRACE

    async def _bounded(self, check: Check, call: Callable[[], Awaitable[Any]]) -> Execution:
        async with self._gate:
            self._begun[check.id] = clock.monotonic()
            return await attempt(check, call, self._confirm, check.timeout or self._timeout, self._look)

    async def _close_probes(self) -> None:
        await asyncio.gather(*(probe.close() for probe in self._probes.values()), return_exceptions=True)


@functools.cache
def _arguments(function: Callable[..., Any]) -> tuple[str, ...]:
    """Names of the arguments of FUNCTION, which may be that of thousands of checks."""
    return tuple(inspect.signature(function).parameters)


def _parameters(item: pytest.Item) -> Mapping[str, Any]:
    """Arguments that `parametrize` gives ITEM directly; what goes through a fixture is pytest's to set up."""
    callspec = getattr(item, "callspec", None)
    if callspec is None:
        return {}
    direct: set[str] = set()
    for mark in item.iter_markers("parametrize"):
        names = mark.kwargs.get("argnames", mark.args[0] if mark.args else ())
        if not mark.kwargs.get("indirect"):
            direct.update(names.replace(",", " ").split() if isinstance(names, str) else names)
    return {name: value for name, value in callspec.params.items() if name in direct}


def _is_ours(item: pytest.Item, name: str) -> bool:
    """Whether the fixture NAME is the engine's for ITEM too: a project may replace `limits` by a fixture of its own."""
    info = getattr(item, "_fixtureinfo", None)
    definitions = info.name2fixturedefs.get(name, ()) if info is not None else ()
    return all(getattr(one.func, "__module__", "") == fixtures.__name__ for one in definitions[-1:])

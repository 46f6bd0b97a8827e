"""What every probe shares: typed settings, bounded and shared calls, and each call kept as evidence.

A probe kind is one file in this folder (or an entry point of group `pytest_runbook.probes`) with one subclass of `Probe`.
A probe of that kind is declared in the settings as `[probes.NAME]` with `kind = "KIND"`; NAME becomes a fixture.
"""

from __future__ import annotations

import asyncio
import copy
import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from pytest_runbook import clock
from pytest_runbook.concurrency.threads import in_thread
from pytest_runbook.errors import Unreachable
from pytest_runbook.evidence.context import current
from pytest_runbook.model import Observation


class ProbeSettings(BaseModel):
    """Settings that every kind of probe has; a kind adds its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str
    timeout: float = 10.0
    """Seconds that one call may take."""
    concurrency: int = 10
    """Calls to this target at once, at most."""
    service: str | None = None
    """The service that this probe looks at, when it is not the one of the probe's name."""


S = TypeVar("S", bound=ProbeSettings)
T = TypeVar("T")


class Probe(Generic[S]):
    """A thin client of one real thing; made once per run, used on the run's event loop, closed at its end."""

    kind: ClassVar[str]
    remote: ClassVar[bool] = True
    """Whether it looks over the network: answers of such probes show that the checker is not cut off."""
    Settings: ClassVar[type[ProbeSettings]] = ProbeSettings

    def __init_subclass__(cls, **options: Any) -> None:
        """Have each question of this kind noted by the check that asks it."""
        super().__init_subclass__(**options)
        for name, method in [*vars(cls).items()]:
            if inspect.iscoroutinefunction(method) and not name.startswith("_") and name not in vars(Probe):
                setattr(cls, name, _noted(method))

    def __init__(self, name: str, settings: S) -> None:
        """NAME is the name in the settings, SETTINGS an instance of this kind's `Settings`."""
        self.name = name
        self.settings = settings
        self._gate = asyncio.Semaphore(settings.concurrency)
        self._shared: dict[tuple[int, int, str], tuple[asyncio.Task[Any], Observation, asyncio.Event]] = {}

    @property
    def target(self) -> str:
        """The address looked at, for people; never with a secret."""
        return self.name

    async def close(self) -> None:
        """Give back what the probe holds; runs once, on the loop, also after failures."""

    async def observe(
        self,
        operation: str,
        call: Callable[[], Awaitable[T]],
        *,
        answer: Callable[[T], Any] = lambda result: result,
        share: bool = True,
        turns: asyncio.Semaphore | None = None,
    ) -> T:
        """Await CALL() and keep it as evidence of the current check.

        OPERATION says what was asked, with its arguments: equal operations of one attempt are made once (SHARE), outside
        of checks each one is made. ANSWER makes the JSON-safe summary of the result that the journal keeps. TURNS are what
        it waits for in place of the probe's own. What CALL raises is kept and raised: CALL turns its library's errors into
        `Unreachable` or `Unmeasured`.
        """
        notebook = current()
        key = (notebook.look, notebook.attempt, operation) if notebook and share else None
        made = self._shared.get(key) if key else None
        shared = made is not None
        if made is None:
            seen = Observation(self.name, self.target, operation, clock.iso(clock.now()), 0.0, ok=False)
            turn = asyncio.Event()
            made = asyncio.ensure_future(self._make(seen, turn, turns or self._gate, call, answer)), seen, turn
            if key:
                self._shared[key] = made
        task, seen, turn = made
        begun = clock.monotonic()
        try:
            if notebook is not None and not turn.is_set():
                with notebook.in_line():
                    await turn.wait()
            # The shield keeps one check's time-out from cancelling the observation that others wait for.
            return await (asyncio.shield(task) if key else task)
        except Exception as error:
            if key:
                # One object raised in many checks would collect the frames of all of them.
                raise _own(error) from None
            raise
        except asyncio.CancelledError:
            if not key:
                task.cancel()
            raise
        finally:
            if notebook is not None:
                notebook.observations.append(_as_seen(seen, shared, clock.monotonic() - begun))

    async def _make(
        self,
        seen: Observation,
        turn: asyncio.Event,
        turns: asyncio.Semaphore,
        call: Callable[[], Awaitable[T]],
        answer: Callable[[T], Any],
    ) -> T:
        async with turns:
            turn.set()
            seen.started, begun = clock.iso(clock.now()), clock.monotonic()
            try:
                result = await call()
                seen.answer = answer(result)
                seen.ok = True
            except Exception as error:
                seen.error = f"{type(error).__name__}: {error}"
                raise
            finally:
                seen.duration = clock.monotonic() - begun
            return result

    async def limited(self, answer: Awaitable[T], seconds: float | None = None) -> T:
        """What ANSWER gives within SECONDS (default: this probe's time-out); `Unreachable` when it does not."""
        limit = self.settings.timeout if seconds is None else seconds
        try:
            async with asyncio.timeout(limit):
                return await answer
        except TimeoutError:
            raise Unreachable(f'"{self.target}" did not answer within {clock.duration(limit)}') from None

    async def blocking(self, call: Callable[[], T]) -> T:
        """Result of the blocking CALL, in a thread that may be left behind."""
        return await in_thread(call)


def _noted(method: Callable[..., Coroutine[Any, Any, T]]) -> Callable[..., Coroutine[Any, Any, T]]:
    """METHOD, whose calls are in the notebook of the check: one that is not awaited asks nothing, and is true."""

    @functools.wraps(method)
    def ask(*arguments: Any, **options: Any) -> Coroutine[Any, Any, T]:
        question, notebook = method(*arguments, **options), current()
        if notebook is not None:
            notebook.questions.append(question)
        return question

    return ask


def _own(error: Exception) -> Exception:
    """A copy of ERROR for one check; ERROR itself when it cannot be copied."""
    try:
        return copy.copy(error).with_traceback(None)
    except Exception:  # an exception class may take anything to be made
        return error


def _as_seen(seen: Observation, shared: bool, waited: float) -> Observation:
    """SEEN as the check that asked knows it: a call that it did not wait for to the end is evidence too."""
    mine = replace(seen, shared=shared)
    if not seen.ok and seen.error is None:
        mine.duration, mine.error = waited, "no answer yet when the check was stopped"
    return mine

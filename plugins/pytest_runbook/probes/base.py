"""What every probe shares: typed settings, bounded and shared calls, and each call kept as evidence.

A probe kind is one file in this folder (or an entry point of group `pytest_runbook.probes`) with one subclass of `Probe`.
A probe of that kind is declared in the settings as `[probes.NAME]` with `kind = "KIND"`; NAME becomes a fixture.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from pytest_runbook import clock
from pytest_runbook.concurrency.threads import in_thread
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
    Settings: ClassVar[type[ProbeSettings]] = ProbeSettings

    def __init__(self, name: str, settings: S) -> None:
        """NAME is the name in the settings, SETTINGS an instance of this kind's `Settings`."""
        self.name = name
        self.settings = settings
        self._gate = asyncio.Semaphore(settings.concurrency)
        self._shared: dict[tuple[int, str], asyncio.Task[tuple[Any, Observation]]] = {}

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
    ) -> T:
        """Await CALL() and keep it as evidence of the current check.

        OPERATION says what was asked, with its arguments: equal operations of one attempt are made once (SHARE).
        ANSWER makes the JSON-safe summary of the result that the journal keeps. What CALL raises is kept and raised:
        CALL turns its library's errors into `Unreachable` or `Unmeasured`.
        """
        notebook = current()
        key = (notebook.attempt if notebook else 0, operation)
        task = self._shared.get(key) if share else None
        shared = task is not None
        if task is None:
            task = asyncio.ensure_future(self._make(operation, call, answer))
            if share:
                self._shared[key] = task
        try:
            # The shield keeps one check's time-out from cancelling the observation that others wait for.
            result, observation = await (asyncio.shield(task) if share else task)
        except BaseException as error:
            seen = getattr(error, "observation", None)
            if notebook is not None and isinstance(seen, Observation):
                notebook.observations.append(_as_shared(seen, shared))
            raise
        if notebook is not None:
            notebook.observations.append(_as_shared(observation, shared))
        return result  # type: ignore[no-any-return]

    async def _make(
        self, operation: str, call: Callable[[], Awaitable[T]], answer: Callable[[T], Any]
    ) -> tuple[T, Observation]:
        async with self._gate:
            seen = Observation(self.name, self.target, operation, clock.iso(clock.now()), 0.0, ok=True)
            begun = clock.monotonic()
            try:
                result = await call()
                seen.answer = answer(result)
            except Exception as error:
                seen.ok, seen.error = False, f"{type(error).__name__}: {error}"
                error.observation = seen  # type: ignore[attr-defined]
                raise
            finally:
                seen.duration = clock.monotonic() - begun
            return result, seen

    async def blocking(self, call: Callable[[], T]) -> T:
        """Result of the blocking CALL, in a thread that may be left behind."""
        return await in_thread(call)


def _as_shared(seen: Observation, shared: bool) -> Observation:
    if not shared:
        return seen
    return Observation(**{**seen.to_json(), "shared": True})

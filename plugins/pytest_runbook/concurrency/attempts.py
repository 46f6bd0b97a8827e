"""One check, tried until its outcome is confirmed: k failures of n attempts before it is called failed."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from pytest_runbook import clock
from pytest_runbook.errors import TimedOut, Unmeasured, Unreachable
from pytest_runbook.evidence.context import Notebook, writing
from pytest_runbook.model import AVAILABILITY, Attempt, Check, Outcome


@dataclass(frozen=True, slots=True)
class Confirmation:
    """How often a check must fail before it is called failed."""

    failures: int
    of: int
    interval: float
    """Seconds between two attempts."""


@dataclass(slots=True)
class Execution:
    """What came of a check: its attempts, what it saw, and the error of the attempt that decided."""

    check: Check
    started: str = ""
    duration: float = 0.0
    """Seconds, all attempts and the intervals between them."""
    attempts: list[Attempt] = field(default_factory=list)
    notebooks: list[Notebook] = field(default_factory=list)
    error: BaseException | None = None

    @property
    def outcome(self) -> Outcome:
        """Outcome of the attempt that decided."""
        return Outcome(self.attempts[-1].outcome)


def judge(error: BaseException | None, check: Check) -> Outcome:
    """What ERROR, raised by CHECK (None: nothing was), says about the system."""
    match error:
        case None:
            return Outcome.PASSED
        case pytest.skip.Exception():
            return Outcome.SKIPPED
        case TimedOut():
            return Outcome.TIMED_OUT
        case Unreachable():
            return Outcome.FAILED if check.subject == AVAILABILITY else Outcome.UNMEASURED
        case Unmeasured():
            return Outcome.UNMEASURED
        case AssertionError() | pytest.fail.Exception():
            return Outcome.FAILED
        case _:  # the check itself broke: it did not see
            return Outcome.UNMEASURED


def message_of(error: BaseException | None) -> str:
    """What ERROR says, in words for people: a crash names its type, a failed assertion its first line."""
    if error is None:
        return ""
    text = str(error).strip()
    if isinstance(error, AssertionError | pytest.fail.Exception | pytest.skip.Exception | TimedOut | Unmeasured):
        return text or "assertion failed"
    return f"the check crashed: {type(error).__name__}: {text}"


class Trial:
    """The attempts of one check; the two drivers below differ only in how they call and wait."""

    def __init__(self, check: Check, confirm: Confirmation) -> None:
        self.execution = Execution(check, started=clock.iso(clock.now()))
        self._confirm = confirm
        self._begun = clock.monotonic()

    def begin(self) -> Notebook:
        """The notebook of the next attempt."""
        notebook = Notebook(self.execution.check.id, attempt=len(self.execution.attempts) + 1)
        self.execution.notebooks.append(notebook)
        return notebook

    def end(self, error: BaseException | None, started: str, seconds: float) -> bool:
        """Keep the attempt that ended with ERROR; whether another one is needed."""
        run = self.execution
        outcome = judge(error, run.check)
        run.attempts.append(Attempt(outcome, message_of(error), started, seconds, len(run.attempts) + 1))
        run.error = error
        run.duration = clock.monotonic() - self._begun
        return self._open()

    def _open(self) -> bool:
        outcomes = [Outcome(attempt.outcome) for attempt in self.execution.attempts]
        if outcomes[-1] == Outcome.SKIPPED:
            return False
        failures = sum(outcome.bad for outcome in outcomes)
        passes = len(outcomes) - failures
        # A first pass decides: only a failure needs confirmation.
        if passes and not failures:
            return False
        return failures < self._confirm.failures and passes <= self._confirm.of - self._confirm.failures

    @property
    def interval(self) -> float:
        """Seconds to wait before the next attempt."""
        return self._confirm.interval


async def attempt(check: Check, call: Callable[[], Awaitable[Any]], confirm: Confirmation, timeout: float) -> Execution:
    """Await CALL() until the outcome of CHECK is confirmed; each attempt is cancelled after TIMEOUT seconds."""
    trial = Trial(check, confirm)
    while True:
        error, started, begun = None, clock.iso(clock.now()), clock.monotonic()
        with writing(trial.begin()):
            try:
                async with asyncio.timeout(timeout) as limit:
                    await call()
            except Exception as caught:  # whatever a check raises is its result
                error = _timed_out(timeout) if limit.expired() else caught
            except (pytest.skip.Exception, pytest.fail.Exception) as caught:
                error = caught
        if not trial.end(error, started, clock.monotonic() - begun):
            return trial.execution
        await asyncio.sleep(trial.interval)


def attempt_blocking(check: Check, call: Callable[[], Any], confirm: Confirmation, timeout: float) -> Execution:
    """Run CALL() until the outcome of CHECK is confirmed; a signal interrupts each attempt after TIMEOUT seconds."""
    trial = Trial(check, confirm)
    while True:
        error, started, begun = None, clock.iso(clock.now()), clock.monotonic()
        with writing(trial.begin()):
            try:
                with _alarm(timeout):
                    call()
            except Exception as caught:  # whatever a check raises is its result
                error = caught
            except (pytest.skip.Exception, pytest.fail.Exception) as caught:
                error = caught
        if not trial.end(error, started, clock.monotonic() - begun):
            return trial.execution
        time.sleep(trial.interval)


def _timed_out(seconds: float) -> TimedOut:
    return TimedOut(f"no result after {clock.duration(seconds)}")


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """Raise TimedOut in the block after SECONDS; without effect outside the main thread, where signals do not arrive."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(_number: int, _frame: object) -> None:
        raise _timed_out(seconds)

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

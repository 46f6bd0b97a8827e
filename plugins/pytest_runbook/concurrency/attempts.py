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

RAISED = (Exception, pytest.skip.Exception, pytest.fail.Exception)
"""What a check may raise as its result; pytest's own do not derive from Exception, and Ctrl-C is none of them."""


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

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Keep what the block raises, and what it sees, as the next attempt."""
        run = self.execution
        notebook = Notebook(run.check.id, attempt=len(run.attempts) + 1)
        run.notebooks.append(notebook)
        run.error = None
        started, begun = clock.iso(clock.now()), clock.monotonic()
        try:
            with writing(notebook):
                yield
        except RAISED as caught:  # whatever a check raises is its result
            run.error = caught
        outcome, ended = judge(run.error, run.check), clock.monotonic()
        run.attempts.append(Attempt(outcome, message_of(run.error), started, ended - begun, notebook.attempt))
        run.duration = ended - self._begun

    @property
    def open(self) -> bool:
        """Whether the outcome needs another attempt."""
        outcomes = [Outcome(attempt.outcome) for attempt in self.execution.attempts]
        if not outcomes or outcomes[-1] == Outcome.SKIPPED:
            return not outcomes
        failures = sum(outcome.bad for outcome in outcomes)
        passes = len(outcomes) - failures
        # A first pass decides: only a failure needs confirmation.
        if passes and not failures:
            return False
        return failures < self._confirm.failures and passes <= self._confirm.of - self._confirm.failures


async def attempt(check: Check, call: Callable[[], Awaitable[Any]], confirm: Confirmation, timeout: float) -> Execution:
    """Await CALL() until the outcome of CHECK is confirmed; each attempt is cancelled after TIMEOUT seconds."""
    trial = Trial(check, confirm)
    while trial.open:
        if trial.execution.attempts:
            await asyncio.sleep(confirm.interval)
        with trial.attempt():
            try:
                async with asyncio.timeout(timeout) as limit:
                    await call()
            except TimeoutError as error:
                if limit.expired():
                    raise _timed_out(timeout) from error
                raise
    return trial.execution


def attempt_blocking(check: Check, call: Callable[[], Any], confirm: Confirmation, timeout: float) -> Execution:
    """Run CALL() until the outcome of CHECK is confirmed; a signal interrupts each attempt after TIMEOUT seconds."""
    trial = Trial(check, confirm)
    while trial.open:
        if trial.execution.attempts:
            time.sleep(confirm.interval)
        with trial.attempt(), _alarm(timeout):
            call()
    return trial.execution


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

"""One check, tried until its outcome is confirmed: k failures of n attempts before it is called failed."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from pytest_runbook import clock
from pytest_runbook.errors import TimedOut, Unmeasured, Unreachable
from pytest_runbook.evidence.context import Notebook, writing
from pytest_runbook.files import told
from pytest_runbook.model import AVAILABILITY, Attempt, Check, Outcome

RAISED = (Exception, SystemExit, pytest.skip.Exception, pytest.fail.Exception)
"""What a check may raise as its result; pytest's own do not derive from Exception, and Ctrl-C is none of them."""
SERIOUS = (Outcome.FAILED, Outcome.TIMED_OUT, Outcome.UNMEASURED)
"""Which of several bad outcomes of one check counts: a failure that was seen outweighs a look that failed."""


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
    errors: list[BaseException | None] = field(default_factory=list)
    """What each attempt raised."""
    outcome: Outcome = Outcome.UNMEASURED

    @property
    def error(self) -> BaseException | None:
        """What the last attempt with the outcome that counts raised."""
        pairs = zip(self.attempts, self.errors, strict=True)
        return next((error for tried, error in reversed([*pairs]) if tried.outcome == self.outcome), None)


def decide(outcomes: Sequence[Outcome], confirm: Confirmation) -> Outcome | None:
    """What OUTCOMES of the attempts so far amount to; None when another attempt is needed."""
    bad = [outcome for outcome in outcomes if outcome.bad]
    if not bad:
        return outcomes[-1] if outcomes else None
    if len(bad) >= confirm.failures:
        return min(bad, key=SERIOUS.index)
    # Only a first failure needs confirmation, so passes count once there was one.
    return Outcome.PASSED if len(outcomes) - len(bad) > confirm.of - confirm.failures else None


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
    if isinstance(error, PermissionError) and isinstance(error.filename, str):
        return told(error.filename, error)
    return f"the check crashed: {type(error).__name__}: {text}"


class Trial:
    """The attempts of one check; the two drivers below differ only in how they call and wait."""

    def __init__(self, check: Check, confirm: Confirmation, look: int = 0) -> None:
        self._look = look
        self.execution = Execution(check, started=clock.iso(clock.now()))
        self._confirm = confirm
        self._begun = clock.monotonic()
        self._outcomes: list[Outcome] = []

    @contextmanager
    def attempt(self) -> Iterator[Notebook]:
        """Keep what the block raises, and what it sees, as the next attempt."""
        run = self.execution
        notebook = Notebook(run.check.id, attempt=len(run.attempts) + 1, look=self._look)
        run.notebooks.append(notebook)
        error: BaseException | None = None
        started, begun = clock.iso(clock.now()), clock.monotonic()
        try:
            with writing(notebook):
                yield notebook
        except pytest.exit.Exception:
            raise  # ends the session, as its author wants
        except RAISED as caught:  # whatever a check raises is its result
            error = caught
        forgotten = notebook.forgotten()
        if forgotten and error is None:
            error = Unmeasured(f'"{forgotten[0]}" was not awaited, so nobody looked: write "await" before it')
        outcome, ended = judge(error, run.check), clock.monotonic()
        if outcome == Outcome.SKIPPED and run.attempts:
            outcome = Outcome.UNMEASURED  # it applied a moment ago
        self._outcomes.append(outcome)
        run.attempts.append(Attempt(outcome, message_of(error), started, ended - begun, notebook.attempt))
        run.errors.append(error)
        run.duration = ended - self._begun
        run.outcome = self._decision() or outcome

    @property
    def open(self) -> bool:
        """Whether the outcome needs another attempt."""
        return self._decision() is None

    def _decision(self) -> Outcome | None:
        return decide(self._outcomes, self._confirm)


async def attempt(
    check: Check, call: Callable[[], Awaitable[Any]], confirm: Confirmation, timeout: float, look: int = 0
) -> Execution:
    """Await CALL() until the outcome of CHECK is confirmed; each attempt is cancelled after TIMEOUT seconds."""
    trial = Trial(check, confirm, look)
    while trial.open:
        if trial.execution.attempts:
            await asyncio.sleep(confirm.interval)
        with trial.attempt() as notebook:
            await _within(call, notebook, timeout)
    return trial.execution


async def _within(call: Callable[[], Awaitable[Any]], notebook: Notebook, timeout: float) -> None:
    """Await CALL() for TIMEOUT seconds; also a check that swallows its cancellation has then timed out."""
    try:
        async with asyncio.timeout(timeout) as limit:
            notebook.limit = limit
            await call()
    except TimeoutError as error:
        if limit.expired():
            raise _timed_out(timeout) from error
        raise
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise Unmeasured("a call that the check waited for was cancelled") from error
    if limit.expired():
        raise _timed_out(timeout)


def attempt_blocking(
    check: Check, call: Callable[[], Any], confirm: Confirmation, timeout: float, look: int = 0
) -> Execution:
    """Run CALL() until the outcome of CHECK is confirmed; a signal interrupts each attempt after TIMEOUT seconds."""
    trial = Trial(check, confirm, look)
    while trial.open:
        if trial.execution.attempts:
            time.sleep(confirm.interval)
        with trial.attempt():
            _in_time(call, timeout)
    return trial.execution


class _Ring(BaseException):
    """The alarm of a blocking check: not an Exception, so that a loop that retries on any error does not swallow it."""


def _timed_out(seconds: float) -> TimedOut:
    return TimedOut(f"no result after {clock.duration(seconds)}")


def _in_time(call: Callable[[], Any], seconds: float) -> None:
    """CALL(); TimedOut when it ends after SECONDS. Outside the main thread, where signals do not arrive, without a limit."""
    if threading.current_thread() is not threading.main_thread():
        call()
        return

    rang = calling = False

    def ring(_number: int, _frame: object) -> None:
        nonlocal rang
        rang = True
        if calling:  # else nobody would take it for a result
            raise _Ring

    before = signal.signal(signal.SIGALRM, ring)
    try:
        # It rings again every second, until the check lets go.
        signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
        try:
            calling = True
            call()
        finally:
            calling = False
    except _Ring:
        pass
    finally:
        calling = False  # also when it rang just before it was so
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    if rang:
        raise _timed_out(seconds)

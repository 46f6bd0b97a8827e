"""The alarm of a blocking check ends that check and nothing else, at whatever moment it rings."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest
from pytest_runbook.concurrency import attempts
from pytest_runbook.concurrency.attempts import Confirmation, Execution, attempt_blocking
from pytest_runbook.model import Check, Outcome

CHECK = Check("web/pages::x", "X", "P2", "web", ("daily",), subject="pages")
OURS = (attempts.__file__, contextlib.__file__, __file__)


class Bell:
    """Rings while a trace is on, at the MOMENT-th instruction that follows the alarm being set; once."""

    def __init__(self, moment: int) -> None:
        self.left = moment
        self.rang = self.armed = False

    def trace(self, frame: FrameType, event: str, _arg: object) -> Any:
        """What `sys.settrace` asks for."""
        frame.f_trace_opcodes = True
        handler = signal.getsignal(signal.SIGALRM)
        self.armed = self.armed or signal.getitimer(signal.ITIMER_REAL)[0] > 0
        silent = not self.armed or self.rang or handler is idle
        if silent or event != "opcode" or frame.f_code.co_filename not in OURS:
            return self.trace
        self.left -= 1
        if self.left == 0:
            self.rang = True
            assert callable(handler)
            handler(signal.SIGALRM, frame)
        return self.trace


def idle(_number: int, _frame: FrameType | None) -> None:
    """What listens to alarms outside of checks."""


@pytest.fixture(autouse=True)
def _listening() -> Iterator[None]:
    before, trace = signal.signal(signal.SIGALRM, idle), sys.gettrace()
    yield
    sys.settrace(trace)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def tried(bell: Bell, *, passes: bool) -> Execution:
    """A check that passes or fails, while BELL rings."""

    def call() -> None:
        assert passes

    sys.settrace(bell.trace)
    try:
        return attempt_blocking(CHECK, call, Confirmation(1, 1, 0.0), 60.0)
    finally:
        sys.settrace(None)


@pytest.mark.parametrize("passes", [True, False], ids=["passes", "fails"])
def test_whenever_it_rings_no_check_passes_and_the_alarm_is_off(passes: bool) -> None:
    own = Outcome.PASSED if passes else Outcome.FAILED
    for moment in range(1, 10_000):
        bell = Bell(moment)
        execution = tried(bell, passes=passes)
        assert signal.getsignal(signal.SIGALRM) is idle, moment
        assert signal.getitimer(signal.ITIMER_REAL)[0] == 0, moment
        if not bell.rang:
            break
        assert execution.outcome in {Outcome.TIMED_OUT, own} - {Outcome.PASSED}, moment
    assert execution.outcome == own
    assert moment > 20, "it rang before, within and after the check"


def test_an_alarm_that_was_on_its_way_when_the_check_ended_harms_nobody() -> None:
    heard: list[Any] = []
    execution = attempt_blocking(
        CHECK, lambda: heard.append(signal.getsignal(signal.SIGALRM)), Confirmation(1, 1, 0.0), 60.0
    )
    heard[0](signal.SIGALRM, None)
    assert execution.outcome == Outcome.PASSED

"""Has Ctrl-C, SIGTERM and SIGHUP end a run once, and keeps them away from what is done whole or not at all."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from pytest_runbook import clock

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE = 30.0
"""Seconds in which what comes again says the same; after them something hangs, and it counts."""


@contextmanager
def once(asked: Callable[[], None]) -> Iterator[Callable[[], None]]:
    """The first that comes interrupts, after ASKED(), and those that come soon after it count for nothing.

    Who waits presses Ctrl-C again, a CI system sends one after the other, a lost session is told by the kernel and by the
    shell. Gives what to call where the end has come without any: then they count for nothing as well.
    """
    deaf_until = 0.0

    def ends() -> None:
        nonlocal deaf_until
        deaf_until = clock.monotonic() + PATIENCE

    def heard(_one: int, _frame: FrameType | None) -> None:
        __tracebackhide__ = True  # pytest tells where the run was, not that it was told here
        if clock.monotonic() >= deaf_until:
            ends()
            asked()
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield ends
        return
    with _handled(heard):
        yield ends


@contextmanager
def later() -> Iterator[None]:
    """What comes during the block is delivered right after it; for blocks that end soon."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread is ever interrupted
        return
    came: list[signal.Signals] = []
    try:
        with _handled(lambda one, _frame: came.append(signal.Signals(one))):
            yield
    finally:
        for number in came:
            signal.raise_signal(number)


@contextmanager
def unheeded() -> Iterator[None]:
    """What comes during the block counts for nothing; for blocks that take long and say that they are not broken off.

    What is started meanwhile does not inherit that.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with _handled(lambda _one, _frame: None):
        yield


@contextmanager
def _handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    before: dict[signal.Signals, Any] = {}
    try:
        for number in NUMBERS:
            own = signal.getsignal(number)
            # None: not Python's, and so it interrupts no Python. What is ignored, as what `nohup` started does, stays so.
            if own not in (None, signal.SIG_IGN):
                before[number] = own
                signal.signal(number, handler)
        yield
    finally:
        for number, own in before.items():
            signal.signal(number, own)

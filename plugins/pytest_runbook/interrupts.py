"""Keeps Ctrl-C, SIGTERM and SIGHUP away from what is done whole or not at all."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


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
            if (own := signal.getsignal(number)) is not None:  # None: not Python's, and so it interrupts no Python
                before[number] = own
                signal.signal(number, handler)
        yield
    finally:
        for number, own in before.items():
            signal.signal(number, own)

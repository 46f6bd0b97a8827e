"""Keeps Ctrl-C, SIGTERM and SIGHUP away from the few lines that are done whole or not at all."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def later() -> Iterator[None]:
    """What comes during the block is delivered right after it; for blocks that end soon."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread is ever interrupted
        return
    came: list[signal.Signals] = []
    before: dict[signal.Signals, Any] = {}
    try:
        for number in NUMBERS:
            if (handler := signal.getsignal(number)) is not None:  # None: not Python's, and so it interrupts no Python
                before[number] = handler
                signal.signal(number, lambda one, _frame: came.append(signal.Signals(one)))
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in came:
            signal.raise_signal(number)

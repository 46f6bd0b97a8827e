"""What the check that is running now has seen: probes and `measure` write here, wherever they are called from.

A context variable carries it, so it follows coroutines into tasks and blocking calls into threads.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from pytest_runbook.model import Measurement, Observation


@dataclass(slots=True)
class Notebook:
    """What one attempt of one check has seen so far."""

    check: str
    """Id of the check."""
    attempt: int = 1
    """Observations of an attempt are shared only with the same attempt of other checks: a second look is a fresh one."""
    look: int = 0
    """Looks at the system after something was done to it are of a later one."""
    observations: list[Observation] = field(default_factory=list)
    measurements: list[Measurement] = field(default_factory=list)
    output: list[str] = field(default_factory=list)
    """What the check printed."""
    log: list[str] = field(default_factory=list)
    """What was logged while the check ran, a line each."""
    limit: asyncio.Timeout | None = None
    """The check's time, when it is a coroutine."""
    questions: list[Coroutine[Any, Any, Any]] = field(default_factory=list)
    """What was asked of probes."""
    _lines: int = 0
    _left: float = 0.0

    def forgotten(self) -> list[str]:
        """Names of the questions that were never awaited, so that nobody looked; they are given up."""
        found = [one for one in self.questions if inspect.getcoroutinestate(one) == inspect.CORO_CREATED]
        for one in found:
            one.close()
        return [getattr(one, "__qualname__", "a question") for one in found]

    @contextmanager
    def in_line(self) -> Iterator[None]:
        """Stop the check's clock inside the block: waiting for one's turn is not the check's own time."""
        loop = asyncio.get_running_loop()
        until = self.limit.when() if self.limit else None
        if self.limit and not self._lines and until is not None:
            self._left = until - loop.time()
            self.limit.reschedule(None)
        self._lines += 1
        try:
            yield
        finally:
            self._lines -= 1
            if self.limit and not self._lines:
                with suppress(RuntimeError):  # the check has ended meanwhile
                    self.limit.reschedule(loop.time() + self._left)


_current: ContextVar[Notebook | None] = ContextVar("runbook_notebook", default=None)


def current() -> Notebook | None:
    """The notebook of the check that is running here, if one is."""
    return _current.get()


@contextmanager
def writing(notebook: Notebook) -> Iterator[Notebook]:
    """Make NOTEBOOK the current one inside the block."""
    token = _current.set(notebook)
    try:
        yield notebook
    finally:
        _current.reset(token)

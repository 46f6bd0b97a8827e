"""Takes the time of each phase, and says what goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pytest_runbook import clock
from pytest_runbook.backup.drill.certificate import Phase


class Stopwatch:
    """Phases, some of them at the same time; any thread may use it."""

    def __init__(self, phases: list[Phase], say: Callable[[str], None]) -> None:
        self._phases, self._say, self._lock = phases, say, threading.Lock()
        self._begun = clock.monotonic()

    @property
    def seconds(self) -> float:
        """Since it was made."""
        return clock.monotonic() - self._begun

    @property
    def waited(self) -> float:
        """The same without phases that only prove something: for those no user would wait."""
        return self.seconds - sum(phase.seconds for phase in self._phases if not phase.restoring)

    @contextmanager
    def phase(self, name: str, title: str, *, restoring: bool = True) -> Iterator[Phase]:
        """The length of a `with` block; what it raises ends the phase as failed."""
        phase, begun = Phase(name, title, clock.iso(clock.now()), restoring=restoring), clock.monotonic()
        with self._lock:
            self._phases.append(phase)
        try:
            yield phase
            phase.outcome = "done" if phase.outcome == "going on" else phase.outcome
        except BaseException:
            phase.outcome = "failed"
            raise
        finally:
            phase.seconds = clock.monotonic() - begun
            self._say(f"{phase.title}: {phase.outcome} ({clock.duration(phase.seconds)})")

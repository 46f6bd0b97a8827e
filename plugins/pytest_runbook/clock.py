"""The one place that reads clocks: wall time (UTC) for people, monotonic time for durations."""

from __future__ import annotations

import time
from datetime import UTC, datetime

BOOTTIME = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Only Linux has it."""


def now() -> datetime:
    """Wall time, UTC, aware."""
    return datetime.now(UTC)


def monotonic() -> float:
    """Seconds of a clock that never goes back; only differences mean something."""
    return time.perf_counter()


def boottime() -> float:
    """The same of a clock that goes on while the machine is suspended: for how long others have heard nothing of us."""
    return time.clock_gettime(BOOTTIME)


def iso(moment: datetime) -> str:
    """MOMENT as ISO 8601 in UTC with milliseconds, for example `2026-11-22T18:03:05.120Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse(text: str) -> datetime:
    """The moment that `iso` wrote."""
    return datetime.fromisoformat(text)


def duration(seconds: float) -> str:
    """SECONDS as people say it: `340 ms`, `4.2 s`, `3 min 10 s`, `2 h 5 min`, `12 d`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 72 else f"{hours // 24} d"


def moment(seconds: float) -> datetime:
    """The wall time that is SECONDS after the epoch."""
    return datetime.fromtimestamp(seconds, UTC)

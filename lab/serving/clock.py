"""Wall time as the services write it."""

from __future__ import annotations

from datetime import UTC, datetime


def timestamp(seconds: float | None = None) -> str:
    """SECONDS of the epoch, or now, as ISO 8601 in UTC: `2026-11-22T18:03:05.120Z`."""
    moment = datetime.now(UTC) if seconds is None else datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

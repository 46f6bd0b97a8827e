"""Whose a backup is, and which is the newest: a place may hold those of others, and those of a clock that was wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import islice

from pytest_runbook import clock
from pytest_runbook.backup.destinations import Destination
from pytest_runbook.backup.destinations.base import order
from pytest_runbook.backup.manifest import Head
from pytest_runbook.errors import BackupError

LEEWAY = timedelta(minutes=10)
"""That clocks may differ."""


def ours(destination: Destination, backup: str) -> bool:
    """Whether BACKUP is of the system of our settings; True also of one whose manifest cannot be read: it may be."""
    head = _head(destination, backup)
    return head is None or head.is_of(destination.settings.system)


def newest(destination: Destination, most: int = 1, by: datetime | None = None) -> list[str]:
    """IDs of the first MOST of `latest`, the oldest of them first."""
    return list(islice(latest(destination, by), most))[::-1]


def latest(destination: Destination, by: datetime | None = None) -> Iterator[str]:
    """IDs of the backups of ours in DESTINATION, the newest first; BY: that were finished at that moment.

    One of the future is none of them, nor one of what a restore replaced: that may hold the damage that it was to mend.
    Raises BackupError `unreachable` at one that nobody can look into, which may be the newest.
    """
    for backup in reversed(destination.backups()):
        finished = by is None or _is_finished(destination, backup, by)
        if finished and not is_ahead(backup) and _counts(destination, backup):
            yield backup


def before(destination: Destination, backup: str) -> Iterator[Head]:
    """What the backups of ours in DESTINATION before BACKUP say of themselves, the newest first, as `latest`.

    Those that cannot be read are left out: they say nothing of BACKUP.
    """
    for one in reversed(destination.backups()):
        if order(one) < order(backup):
            with suppress(BackupError):
                head = destination.head(one)
                if _is_usual(destination, head):
                    yield head


def _is_finished(destination: Destination, backup: str, by: datetime) -> bool:
    """Whether BACKUP was finished BY that moment; whether it was begun, where nobody can read its manifest."""
    try:
        return clock.parse(destination.head(backup).finished) <= by
    except BackupError as error:
        if error.reason == "unreachable":
            raise
        return backup.partition("-")[0] <= f"{by.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def is_ahead(backup: str, now: datetime | None = None) -> bool:
    """Whether BACKUP is of a time that has not come: a clock was wrong when it was made, or is wrong NOW."""
    return backup.partition("-")[0] > f"{(now or clock.now()) + LEEWAY:%Y%m%dT%H%M%SZ}"


def ahead(destination: Destination) -> list[str]:
    """Why each backup of ours in DESTINATION that is of the future is not taken for the newest, the oldest first.

    What cannot be read may be ours, and keeps nobody from going on.
    """
    return [
        f'"{one}" in "{destination.name}" is of the future, and not taken for the newest\n'
        "  hint: set the clock right if it is behind; else a clock was wrong when it was made: see Retention in docs/backup.md"
        for one in destination.backups()
        if is_ahead(one) and _may_be_ours(destination, one)
    ]


def _may_be_ours(destination: Destination, backup: str) -> bool:
    try:
        return ours(destination, backup)
    except BackupError:
        return True


def passed_over(destination: Destination) -> list[str]:
    """Why each backup of ours in DESTINATION that is later than the newest is not taken for it."""
    there, latest = destination.backups(), newest(destination)
    later = there[there.index(latest[0]) + 1 :] if latest else there
    return [
        f'"{one}" in "{destination.name}" is of what a restore replaced, and not taken for the newest\n'
        "  hint: restore it by its ID if that is what is wanted"
        for one in later
        if not is_ahead(one) and ours(destination, one) and not _counts(destination, one)
    ] + ahead(destination)


def _counts(destination: Destination, backup: str) -> bool:
    """Whether BACKUP is ours, and no restore made it; True also of one whose manifest cannot be read."""
    head = _head(destination, backup)
    return head is None or _is_usual(destination, head)


def _is_usual(destination: Destination, head: Head) -> bool:
    """Whether the backup of HEAD is ours, and no restore made it."""
    return head.is_of(destination.settings.system) and not head.safety


def _head(destination: Destination, backup: str) -> Head | None:
    """What BACKUP says of itself; None when that cannot be read."""
    try:
        return destination.head(backup)
    except BackupError as error:
        if error.reason == "unreachable":
            raise
        return None

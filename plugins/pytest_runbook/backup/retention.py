"""Removes old backups: never one that another needs, never the last good ones, and none at all while the newest is unverified."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from pytest_runbook.backup.destinations import Destination
from pytest_runbook.backup.manifest import Manifest
from pytest_runbook.backup.verifying import verified
from pytest_runbook.errors import BackupError
from pytest_runbook.settings.backup import Retention


@dataclass(frozen=True, slots=True)
class Judged:
    """What becomes of one backup, and why."""

    id: str
    destination: str
    removed: bool
    why: str


def judge(destination: Destination, settings: Retention, now: datetime) -> list[Judged]:
    """What would become of each backup of DESTINATION, the newest first."""
    ids = list(reversed(destination.backups()))
    manifests = {one: _manifest(destination, one) for one in ids}
    good = [one for one in ids if manifests[one] and verified(destination, one)]
    if ids and ids[0] not in good:
        return [Judged(one, destination.name, False, f'the newest, "{ids[0]}", is not verified') for one in ids]
    kept = {one: why for one in ids if (why := _why(one, manifests[one], good, settings, now))}
    for one in ids:
        manifest = manifests[one]
        if one in kept and manifest is not None:
            for needed in manifest.needs & set(ids):
                kept.setdefault(needed, f'"{one}" needs files of it')
    return [
        Judged(one, destination.name, one not in kept, kept.get(one, f"older than {settings.days:g} days"))
        for one in ids
    ]


def _why(backup: str, manifest: Manifest | None, good: list[str], settings: Retention, now: datetime) -> str:
    """Why BACKUP stays, whatever the others need; empty when nothing keeps it."""
    if manifest is None:
        return "its manifest cannot be read: look at it"
    if now - manifest.moment <= timedelta(days=settings.days):
        return f"not older than {settings.days:g} days"
    if backup in good[: settings.verified]:
        return f"one of the newest {settings.verified} verified ones"
    return ""


def apply(destination: Destination, settings: Retention, now: datetime) -> list[Judged]:
    """Remove what `judge` says; a refusal, as of an object lock, is told and no error."""
    done = []
    for one in reversed(judge(destination, settings, now)):  # the oldest first
        if one.removed:
            try:
                destination.remove(one.id)
            except BackupError as error:
                one = Judged(one.id, one.destination, False, f"could not be removed: {error}")  # noqa: PLW2901
        done.append(one)
    return done[::-1]


def _manifest(destination: Destination, backup: str) -> Manifest | None:
    try:
        return destination.manifest(backup)
    except BackupError:
        return None

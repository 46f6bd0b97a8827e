"""Removes old backups: never one that another needs, never the last good ones, and none at all while the newest is unverified."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pytest_runbook.backup.belonging import is_ahead
from pytest_runbook.backup.destinations import Destination
from pytest_runbook.backup.drill.certificate import PROVEN
from pytest_runbook.backup.manifest import RESTORED
from pytest_runbook.backup.verifying import verified
from pytest_runbook.errors import BackupError
from pytest_runbook.settings.backup import Retention

OTHER = "it is of another system or environment"
AHEAD = "it is of the future: a clock was wrong when it was made, or is now; a person removes it"
DRILLED = "the newest that a drill has proved"
MANY = "too many would go at once"
UNREAD = "it cannot be read, look at it"
"""How the reason begins for which one stays of which nobody knows enough."""
GAP = timedelta(days=7)
"""Between two backups, from which on a clock may have been set."""
BY_ITSELF = 0.5
"""What part of the backups of a place may go at once while nobody looks: a clock that is ahead makes all of them old."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What becomes of one backup, and why."""

    id: str
    destination: str
    removed: bool
    why: str


@dataclass(frozen=True, slots=True)
class _Seen:
    """What of a manifest and its notes decides."""

    moment: datetime
    needs: frozenset[str]
    verified: bool
    safety: bool
    proven: str
    """When a drill has restored it, and found in it what was saved; empty: never."""


def judge(destination: Destination, settings: Retention, now: datetime) -> list[Judged]:
    """What would become of each backup of DESTINATION, the newest first."""
    ids = list(reversed(destination.backups()))
    kept: dict[str, str] = {}
    seen = {one: found for one in ids if (found := _look(destination, one, kept))}
    own = [one for one in ids if kept.get(one) != OTHER]
    early = [one for one in own if is_ahead(one, now)]
    past = [one for one in own if one not in early]
    good = [one for one in past if one in seen and seen[one].verified]
    good.sort(key=lambda one: seen[one].safety)  # what a restore replaced may hold damage: the others count first
    usual = [one for one in past if one not in seen or not seen[one].safety]
    for newest in (usual or past)[:1]:
        if newest not in good:
            kept |= dict.fromkeys(past, f'the newest, "{newest}", is not verified')
    for number, one in enumerate(own):
        if one not in seen:  # nobody knows which earlier ones it needs
            for older in own[number + 1 :]:
                kept.setdefault(older, f'"{one}" cannot be read, and may need files of it')
    for one in past:
        if one in seen and (why := _why(one, seen[one], good, settings, now)):
            kept.setdefault(one, why)
    if proofs := [(at, one) for one in good if (at := seen[one].proven)]:
        kept.setdefault(max(proofs)[1], DRILLED)
    for one in [one for one in seen if one in kept or one in early]:
        for needed in seen[one].needs & set(ids):
            kept.setdefault(needed, f'"{one}" needs files of it')
    for one in early:
        kept.setdefault(one, AHEAD)
    return [
        Judged(one, destination.name, one not in kept, kept.get(one, f"older than {settings.days:g} days"))
        for one in ids
    ]


def _look(destination: Destination, backup: str, kept: dict[str, str]) -> _Seen | None:
    """What there is to know of BACKUP; why it stays in any case goes into KEPT."""
    try:
        head = destination.head(backup)
        if not head.is_of(destination.settings.system):
            kept[backup] = OTHER
            return None
        good, proven = verified(destination, backup), _proven(destination, backup)
    except BackupError as error:
        kept[backup] = f"{UNREAD}: {str(error).partition(chr(10))[0]}"
        return None
    return _Seen(head.moment, frozenset(head.needs), good, head.safety, proven)


def _why(backup: str, seen: _Seen, good: list[str], settings: Retention, now: datetime) -> str:
    """Why BACKUP stays, whatever the others need; empty when nothing keeps it."""
    if now - seen.moment <= timedelta(days=settings.days):
        return f"not older than {settings.days:g} days"
    if backup in good[: settings.verified]:
        return f"one of the newest {settings.verified} verified ones"
    return ""


def _proven(destination: Destination, backup: str) -> str:
    """When a drill has restored BACKUP, and found in it what was saved: the evidence goes with the backup; empty: never."""
    note = destination.noted(backup, RESTORED) or {}
    return str(note["at"]) if note.get("verdict") == PROVEN else ""


def apply(destination: Destination, settings: Retention, now: datetime, *, most: float = 1.0) -> list[Judged]:
    """Remove what `judge` says, and what an earlier time left half-way; a refusal, as of an object lock, is told and no error.

    Nothing goes when that would be more than the part MOST of the backups that are ours.
    The newest first: what stays after all keeps those that it needs files of.
    """
    destination.finish()
    done: list[Judged] = []
    needed: dict[str, str] = {}
    for one in _spared(judge(destination, settings, now), most, now - timedelta(days=settings.days)):
        if not one.removed:
            done.append(one)
        elif one.id in needed:
            done.append(Judged(one.id, one.destination, False, f'"{needed[one.id]}" needs files of it'))
        else:
            done.append(_removed(destination, one, needed))
    return done


def _spared(judged: list[Judged], most: float, limit: datetime) -> list[Judged]:
    """The same, with nothing to remove when that would be more than the part MOST of what is ours, and a clock may be ahead.

    Then there is a gap between what is older than LIMIT and what is not; where backups are made all the time there is none.
    """
    own = [one for one in judged if one.why != OTHER]
    made = [datetime.strptime(one.id.partition("-")[0] + "+0000", "%Y%m%dT%H%M%SZ%z") for one in own]
    old, young = [one for one in made if one < limit], [one for one in made if one >= limit]
    gap = min(young) - max(old) if old and young else timedelta(0)
    if gap <= GAP or sum(one.removed for one in own) <= most * len(own):
        return judged
    return [replace(one, removed=False, why=MANY) if one.removed else one for one in judged]


def _removed(destination: Destination, one: Judged, needed: dict[str, str]) -> Judged:
    """Remove ONE; when that is refused, those that it needs go into NEEDED."""
    needs = destination.head(one.id).needs
    try:
        destination.remove(one.id)
    except BackupError as error:
        needed.update(dict.fromkeys(needs, one.id))
        return Judged(one.id, one.destination, False, f"could not be removed: {error}")
    return one

"""The whole of `runbook backup`: clean up, make, read back, copy, read back there, and remove what is old."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from pytest_runbook import clock
from pytest_runbook.backup import belonging, copying, destinations, making, retention
from pytest_runbook.backup.destinations import Destination
from pytest_runbook.backup.destinations.folder import Folder, worded
from pytest_runbook.backup.encryption import blind
from pytest_runbook.backup.manifest import Manifest
from pytest_runbook.backup.progress import Progress
from pytest_runbook.backup.restore import exclusion
from pytest_runbook.backup.verdict import Fault, Verdict
from pytest_runbook.backup.verifying import verify
from pytest_runbook.errors import BackupError
from pytest_runbook.settings import Settings

OTHER_KEYS = "copies of it are encrypted for other keys than those at hand"


@dataclass(slots=True)
class Made:
    """What came of it."""

    manifest: Manifest
    verdicts: list[Verdict] = field(default_factory=list)
    """One for each destination that has it."""
    problems: list[str] = field(default_factory=list)
    """What did not work, while the backup itself was made."""
    notices: list[str] = field(default_factory=list)
    """What a person should know, though the backup is good."""
    judged: list[retention.Judged] = field(default_factory=list)
    """What became of each older backup."""

    @property
    def good(self) -> bool:
        """Whether it lies, read back, wherever it should."""
        return not self.problems and all(verdict.good for verdict in self.verdicts)


def make(
    settings: Settings,
    root: Path,
    *,
    to: Sequence[str] | None = None,
    full: bool = False,
    progress: Progress | None = None,
    prune: bool = True,
    safety: bool = False,
) -> Manifest:
    """Make a backup, read back locally and in the destinations TO, all of the settings by default; its manifest.

    ROOT is where relative paths of SETTINGS start from; SAFETY says that it is of what a restore replaces.
    Raises BackupError unless all of that is done and good.
    """
    made = backup(settings, root, to=to, full=full, progress=progress, prune=prune, safety=safety)
    if not made.good:
        bad = [f"{one.destination}: {fault}" for one in made.verdicts for fault in one.faults]
        raise BackupError("\n".join([f'the backup "{made.manifest.id}" is not good', *made.problems, *bad]))
    return made.manifest


def backup(
    settings: Settings,
    root: Path,
    *,
    to: Sequence[str] | None = None,
    full: bool = False,
    progress: Progress | None = None,
    prune: bool = True,
    safety: bool = False,
    moment: datetime | None = None,
) -> Made:
    """The same, and all that there is to say of it; BackupError when no backup could be made at all."""
    progress = progress or Progress()
    names = chosen(settings, to)
    with making.alone(settings, root):
        exclusion.insist_on_no_exchange(settings, root, progress.say)
        for one in making.clean(settings, root):
            progress.say(f"what was left of {one}, which did not finish, is removed")
        notices = belonging.ahead(making.local(settings, root))
        without = set() if full else _unreadable(settings, root, names)
        if without:
            notices.append(f"files of {', '.join(sorted(without))} are stored again: {OTHER_KEYS}")
        for notice in notices:
            progress.say(notice)
        begun = clock.monotonic()
        manifest = making.make(
            settings, root, full=full, without=without, safety=safety, moment=moment, progress=progress, to=names
        )
        progress.say(f"{manifest.id} is made ({manifest.size:,} bytes, {clock.duration(clock.monotonic() - begun)})")
        for notice in _missing(manifest):
            notices.append(notice)
            progress.say(notice)
        made = Made(manifest, notices=notices)
        place = making.local(settings, root)
        with progress.bar(f"reading {manifest.id} back", manifest.size) as place.advance:
            made.verdicts.append(verify(place, manifest.id))
        _told(made.verdicts[-1], progress)
        if made.verdicts[-1].good:
            for name in names:
                _copy(made, settings, root, name, progress)
        if prune and made.good:
            for name in (settings.backup.local, *names):
                _prune(made, settings, root, name, progress)
    return made


def _missing(manifest: Manifest) -> Iterator[str]:
    """What the dump of MANIFEST has not, and what pg_dump warned of, in words."""
    if manifest.database:
        yield from (f"{what} are not in the backup" for what in manifest.database.unsaved)
        yield from (f"pg_dump warns: {what}" for what in manifest.database.warnings)


def chosen(settings: Settings, to: Sequence[str] | None) -> list[str]:
    """Names of the destinations that TO means, the local one left out; UsageError when one is unknown."""
    for name in to or ():
        destinations.declared(name, settings)
    found = settings.backup.destinations if to is None else dict.fromkeys(to)
    return [name for name in found if name != settings.backup.local]


@contextmanager
def closing(name: str, settings: Settings, root: Path, *, tries: int | None = None) -> Iterator[Destination]:
    """The destination NAME, closed at the end; asked TRIES times when it does not serve."""
    found = destinations.connect(name, settings, root)
    found.tries = tries or found.tries
    try:
        yield found
    finally:
        found.close()


def _unreadable(settings: Settings, root: Path, names: Sequence[str]) -> set[str]:
    """Earlier backups whose copies are encrypted for other keys than those at hand: the next one must not need them."""
    relied = making.relied(making.local(settings, root))
    found: set[str] = set()
    for name in names:
        with closing(name, settings, root, tries=1) as target, suppress(BackupError):  # the copying tells of trouble
            if relied and target.encrypted and not blind(target):
                for one in ({relied.id} | relied.needs) & set(target.backups()):
                    found |= {one} if _is_of_other_keys(target, one) else set()
    return found


def _is_of_other_keys(target: Destination, backup: str) -> bool:
    try:
        target.head(backup)
    except BackupError as error:
        return error.reason == "wrong-key"
    return False


def _copy(made: Made, settings: Settings, root: Path, name: str, progress: Progress) -> None:
    """Bring the backup to the destination NAME, with what broke off before, and read it back there."""
    source = making.local(settings, root)
    with closing(name, settings, root) as target:
        try:
            with worded(source.place):  # a disk that is full here keeps no other destination from its copy
                _sent(made, source, target, progress)
        except BackupError as error:
            made.problems.append(f"{name}: {error}")
            progress.say(f"{made.manifest.id} could not be brought to {name}: {error}")


def _sent(made: Made, source: Folder, target: Destination, progress: Progress) -> None:
    for one in copying.left_over(source, target):
        if one != made.manifest.id:
            _copy_left(made, source, target, one, progress)
    begun = clock.monotonic()
    copying.copy(source, target, made.manifest.id, progress)
    progress.say(f"{made.manifest.id} is in {target.name} ({clock.duration(clock.monotonic() - begun)})")
    made.verdicts.append(_read_back(made, target, progress))
    _told(made.verdicts[-1], progress)


def _copy_left(made: Made, source: Folder, target: Destination, backup: str, progress: Progress) -> None:
    """Bring BACKUP, whose copy broke off, to TARGET; that it cannot be brought keeps no other one back."""
    try:
        copying.copy(source, target, backup, progress)
        progress.say(f"{backup} is in {target.name} now: its copy had broken off")
    except BackupError as error:
        if error.reason == "unreachable":
            raise
        # Nobody can mend a lost key: this backup needs nothing of it, and retention removes that one in time.
        told = made.notices if error.reason == "wrong-key" else made.problems
        told.append(f"{target.name}: {backup}, whose copy had broken off: {error}")
        progress.say(f"{backup}, whose copy to {target.name} had broken off, could not be brought there: {error}")


def _prune(made: Made, settings: Settings, root: Path, name: str, progress: Progress) -> None:
    """Remove what is old in the destination NAME; what nobody has asked for stops where much would go."""
    try:
        with closing(name, settings, root) as target:
            judged = retention.apply(target, settings.backup.retention, clock.now(), most=retention.BY_ITSELF)
    except BackupError as error:
        made.problems.append(f"{name}: what is old there is not removed: {error}")
        progress.say(made.problems[-1])
        return
    for one in judged:
        if one.removed or "could not" in one.why or one.why.startswith((retention.AHEAD, retention.UNREAD)):
            progress.say(f"{one.id} in {one.destination} is {'removed' if one.removed else 'kept'}: {one.why}")
    if many := sum(one.why == retention.MANY for one in judged):
        made.notices.append(
            f'nothing is removed from "{name}": {many} of its {len(judged)} backups are old at once\n'
            "  hint: set the clock right; if it is, look at runbook backup --prune --dry-run, then run it without --dry-run"
        )
        progress.say(made.notices[-1])
    made.judged += judged


def _read_back(made: Made, target: Destination, progress: Progress) -> Verdict:
    """What reading the copy in TARGET back shows; without a private key nobody can, which is not good."""
    if why := blind(target):
        return Verdict(
            made.manifest.id, target.name, [Fault("unverified", "", f"it is there, and cannot be read back: {why}")]
        )
    with progress.bar(f"reading {made.manifest.id} back from {target.name}", made.manifest.size) as target.advance:
        return verify(target, made.manifest.id, reread=target.settings.backup.reread)


def _told(verdict: Verdict, progress: Progress) -> None:
    if verdict.good:
        progress.say(f"{verdict.id} in {verdict.destination} is verified ({clock.duration(verdict.seconds)})")
    for fault in verdict.faults:
        progress.say(f"{verdict.id} in {verdict.destination} is not good: {fault}")

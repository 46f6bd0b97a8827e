"""Keeps the versions that are deployed: saved configuration names those of its time, and a restore deploys nothing."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_runbook import clock, managers
from pytest_runbook.errors import ManagerError, NoVersion, RestoreError, RunbookError
from pytest_runbook.runbooks.reach import Reach

if TYPE_CHECKING:
    from pytest_runbook.backup.restore.journal import Restore
    from pytest_runbook.history import Store
    from pytest_runbook.managers import VersionFile
    from pytest_runbook.settings import Settings


@dataclass(frozen=True, slots=True)
class Versions:
    """Files of this machine that say which version the services of SETTINGS run, whose project lies in ROOT."""

    settings: Settings
    root: Path
    mark: str
    """Of the programs that are asked."""
    tell: Callable[[str], None]

    def found(self) -> dict[str, VersionFile]:
        """Each by what it is in words; one that nobody can name is told."""
        found: dict[str, VersionFile] = {}
        silent = set[str]()
        reach = Reach(self.settings, self.root, self.mark)
        for name, service in self.settings.services.items():
            if not service.manager or service.manager in silent or managers.declared(self.settings, name)[0].machine:
                continue
            manager, unit = reach.manager(name)
            try:
                file = manager.version_file(unit)
                found.setdefault(file.place, file)
            except NoVersion:  # as of an image whose tag is fixed
                continue
            except ManagerError as error:
                silent.add(service.manager)
                self.tell(
                    f'nobody could look which file names the version of "{name}", so none of that is kept: {error}'
                )
        return found

    def keep(self, found: Mapping[str, VersionFile], coming: Mapping[Path, Path]) -> None:
        """Have what is COMING, by the place that it comes to, name the versions that those FOUND name now."""
        for file in found.values():
            live = Path(os.path.realpath(self.root / file.path))
            for place, new in coming.items():
                if live.is_relative_to(place):
                    self._keep(file, live, new / live.relative_to(place))

    def _keep(self, file: VersionFile, live: Path, coming: Path) -> None:
        try:
            if not live.is_file() or coming.is_symlink() or not coming.is_file():
                return
            before = coming.read_bytes().decode(errors="surrogateescape")
            after = file.kept(before)
            if after == before:
                return
            _replace(coming, after.encode(errors="surrogateescape"))
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise RestoreError(f'"{coming}" cannot be given the version that is in use: {why}') from None
        previous = f', and the one before it "{found}"' if (found := file.previous()) else ""
        self.tell(
            f'{file.place} stays "{file.current()}"{previous}, whatever what comes there says: a restore deploys nothing'
        )


def stay(settings: Settings, root: Path, store: Store, restore: Restore, tell: Callable[[str], None]) -> None:
    """Have what comes back, when RESTORE is taken back, name the versions in use, if STORE knows of a change since it began."""
    begun = clock.parse(restore.started)
    versions = Versions(settings, root, f"restore:{restore.id}", tell)
    aside = {Path(one.live): Path(one.aside) for one in restore.swaps if one.kind == "path"}
    try:
        if any(phase.started >= begun for row in store.deployments(1) for phase in row.phases):
            versions.keep(versions.found(), aside)
    except RunbookError as error:  # the next start may run another version, which ends no way back
        tell(f"which version runs from now on has to be looked at: {error}")


def _replace(path: Path, content: bytes) -> None:
    """Have CONTENT at PATH, whole or not at all, as its owner's and with its mode: it may be the only copy of what it says."""
    was = path.stat()
    descriptor, temporary = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            os.fchown(descriptor, was.st_uid, was.st_gid)
            os.fchmod(descriptor, was.st_mode & 0o7777)
            file.flush()
            os.fsync(descriptor)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise

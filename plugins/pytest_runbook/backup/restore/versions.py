"""Keeps the versions that are deployed: saved configuration names those of its time, and a restore deploys nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_runbook import managers
from pytest_runbook.errors import ManagerError, NoVersion
from pytest_runbook.runbooks.reach import Reach

if TYPE_CHECKING:
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
            if not service.manager or service.manager in silent or managers.declared(self.settings, name)[0].on:
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

    def keep(self, found: Mapping[str, VersionFile], staging: Path, places: Mapping[str, Path]) -> None:
        """Have what lies in STAGING, and is to come to PLACES, name the versions that those FOUND name now."""
        for file in found.values():
            live = Path(os.path.realpath(self.root / file.path))
            for name, place in places.items():
                if live.is_file() and live.is_relative_to(place):
                    self._keep(file, staging / name / live.relative_to(place))

    def _keep(self, file: VersionFile, staged: Path) -> None:
        if staged.is_symlink() or not staged.is_file():
            return
        before = staged.read_bytes().decode(errors="surrogateescape")
        after = file.kept(before)
        if after == before:
            return
        mode = staged.stat().st_mode
        staged.chmod(0o600)
        staged.write_bytes(after.encode(errors="surrogateescape"))
        staged.chmod(mode & 0o7777)
        previous = f', and the one before it "{found}"' if (found := file.previous()) else ""
        self.tell(
            f'{file.place} stays "{file.current()}"{previous}, whatever the backup says: a restore deploys nothing'
        )

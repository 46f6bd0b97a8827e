"""A system that is files alone, for the tests of what a backup saves of them and a restore puts back."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from pytest_runbook.backup import closing, everything, verify
from pytest_runbook.backup.manifest import Manifest
from pytest_runbook.backup.restore.journal import Restore
from pytest_runbook.backup.restore.production import Production
from pytest_runbook.backup.verdict import Fault
from pytest_runbook.settings import Loaded, load

SETTINGS = """
[system]
name = "Shop"
environment = "staging"
env_file = "/nowhere/.env"

[history]
url = "sqlite:///{folder}/history.db"

[backup.destinations.local]
kind = "folder"
path = "{folder}/local"

[backup.files]
optional = ["optional"]

[backup.files.roots]
uploads = "{folder}/system/uploads"
config = "{folder}/system/config"
optional = "{folder}/system/optional"

[restore]
checks = ""
"""


@dataclass
class Filesystem:
    """Two roots below FOLDER/system, and one that may be missing."""

    folder: Path
    said: list[str] = field(default_factory=list)
    """What restores said."""

    @property
    def loaded(self) -> Loaded:
        """Its settings."""
        return load(self.folder, file=self.folder / "shop.toml", environ={})

    @property
    def uploads(self) -> Path:
        """The root with what users bring."""
        return self.folder / "system" / "uploads"

    @property
    def config(self) -> Path:
        """The other one."""
        return self.folder / "system" / "config"

    def backup(self) -> Manifest:
        """A backup that was read back."""
        return everything.make(self.loaded.settings, self.folder)

    def faults(self, manifest: Manifest) -> list[Fault]:
        """What reading the backup of MANIFEST back finds."""
        with closing("local", self.loaded.settings, self.folder) as place:
            return verify(place, manifest.id).faults

    def restore(self, manifest: Manifest) -> Restore:
        """The backup of MANIFEST into production."""
        production = Production(self.loaded, self.folder, say=self.said.append)
        return production.restore("local", production.judge("local", manifest.id), ["files"], safety=False)

    def lose(self) -> None:
        """All of it is gone."""
        shutil.rmtree(self.folder / "system")
        (self.folder / "system").mkdir()

    @property
    def beside(self) -> list[str]:
        """Names of what restores left beside the roots."""
        marks = (".restore-", ".before-", ".runbook-restore-")
        return sorted(
            path.name for path in (self.folder / "system").iterdir() if any(mark in path.name for mark in marks)
        )


def filesystem(folder: Path) -> Filesystem:
    """One in FOLDER, with a few files."""
    made = Filesystem(folder.resolve())
    (folder / "shop.toml").write_text(SETTINGS.format(folder=made.folder))
    made.uploads.mkdir(parents=True)
    made.config.mkdir()
    (made.uploads / "a.wav").write_bytes(b"owl")
    (made.config / "shop.conf").write_text("port=8000\n")
    return made

"""What is backed up: the lab's system, real PostgreSQL, Redis and S3 behind the fault proxy, and a small one of its own."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pytest_runbook.backup import closing, everything
from pytest_runbook.backup.destinations import Destination
from pytest_runbook.backup.destinations.folder import Folder
from pytest_runbook.backup.everything import Made
from pytest_runbook.backup.making import local
from pytest_runbook.backup.manifest import Manifest
from pytest_runbook.settings import Settings

from lab import Lab, backup
from lab.servers.s3 import BUCKET
from tests.backup.restored import change
from tests.backup.systems import Shop, managed


@dataclass
class Backups:
    """Backups of the lab in places of their own."""

    lab: Lab
    folder: Path
    prefix: str = field(default_factory=lambda: f"test-{uuid.uuid4().hex[:12]}")
    more: dict[str, str] = field(default_factory=dict)
    """Further variables of the settings."""

    @property
    def variables(self) -> dict[str, str]:
        """What is other than in the lab."""
        return {
            "RUNBOOK__BACKUP__DESTINATIONS__LOCAL__PATH": str(self.folder / "backups"),
            "RUNBOOK__BACKUP__DESTINATIONS__S3__PREFIX": self.prefix,
            "RUNBOOK__HISTORY__URL": f"sqlite:///{self.folder / 'history.db'}",
            "RUNBOOK__BACKUP__FILES__ROOTS__UPLOADS": str(self.folder / "uploads"),
            **self.more,
        }

    def settings(self, more: Mapping[str, str] | None = None) -> Settings:
        return backup.settings(self.lab.site, {**self.variables, **(more or {})})

    def make(self, *to: str, full: bool = False, prune: bool = False) -> Made:
        return everything.backup(self.settings(), self.folder, to=to, full=full, prune=prune)

    @property
    def local(self) -> Folder:
        return local(self.settings(), self.folder)

    def objects(self) -> list[str]:
        """Keys of the objects that these backups have in the bucket."""
        client = backup.s3(self.lab.site)
        found = client.list_objects_v2(Bucket=BUCKET, Prefix=f"{self.prefix}/").get("Contents", [])
        return [one["Key"].removeprefix(f"{self.prefix}/") for one in found]

    @property
    def left(self) -> list[str]:
        """Names of the local folder that are neither backups nor locks."""
        return sorted(
            path.name for path in (self.folder / "backups").iterdir() if path.name[0] == "." and path.is_dir()
        )


@pytest.fixture
def backups(lab: Lab, tmp_path: Path) -> Iterator[Backups]:
    (tmp_path / "uploads" / "2026").mkdir(parents=True)
    (tmp_path / "uploads" / "2026" / "a.wav").write_bytes(b"owl" * 1000)
    (tmp_path / "uploads" / "b.txt").write_text("fox\n")
    (tmp_path / "uploads" / "last").symlink_to("b.txt")
    made = Backups(lab, tmp_path)
    yield made
    client = backup.s3(lab.site)
    for key in made.objects():
        client.delete_object(Bucket=BUCKET, Key=f"{made.prefix}/{key}")


@pytest.fixture
def s3(backups: Backups) -> Iterator[Destination]:
    """The bucket, asked once."""
    with closing("s3", backups.settings(), backups.folder, tries=1) as place:
        yield place


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A small system of this module, whose services are managed."""
    with managed(tmp_path_factory.mktemp("shop")) as made:
        yield made


@pytest.fixture(scope="module", name="backup")
def backup_of_the_system(system: Shop) -> Manifest:
    """A backup of the module's system."""
    return system.backup()


@pytest.fixture
def changed(system: Shop, backup: Manifest) -> None:
    """The module's system has gone on since its backup, and lost something."""
    change(system)

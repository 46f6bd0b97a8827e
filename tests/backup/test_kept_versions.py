"""A restore of configuration deploys nothing: the versions that are in use stay, and all else is what was saved."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_runbook.backup.manifest import Manifest
from pytest_runbook.backup.restore import journal
from pytest_runbook.backup.restore.production import Production

from tests.backup.systems import Shop, managed

SAVED = b"# \xff\nVERSION=1.0  # of the images\nPREVIOUS_VERSION=0.9\nLEVEL=info\n"


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with managed(tmp_path_factory.mktemp("shop"), checks="") as made:
        (made.folder / ".env").write_bytes(SAVED)
        yield made


@pytest.fixture
def variables(system: Shop, backup: Manifest) -> Iterator[Path]:
    """The file that names the version of the module's system, once its backup is made."""
    path = system.folder / ".env"
    yield path
    path.write_bytes(SAVED)
    path.chmod(0o600)


def restored(system: Shop, backup: Manifest, *overrides: str) -> journal.Restore:
    file = f"managers.lab.env_file={system.folder / '.env'}"
    done = Production(system.told(file, *overrides), system.folder).restore("away", backup, ["config"], safety=False)
    assert done.state == journal.DONE
    return done


def test_the_version_in_use_and_the_one_before_it_stay(system: Shop, backup: Manifest, variables: Path) -> None:
    variables.write_text("VERSION=2.0\nPREVIOUS_VERSION=1.0\nLEVEL=debug\n")
    done = restored(system, backup)
    assert variables.read_bytes() == SAVED.replace(b"=1.0", b"=2.0").replace(b"=0.9", b"=1.0")
    assert variables.stat().st_mode & 0o777 == 0o600
    told = f'VERSION in "{variables}" stays "2.0", and the one before it "1.0", whatever what comes there says'
    assert [line.partition(":")[0] for line in done.story if "VERSION" in line] == [told]


def test_in_a_folder_that_is_restored_too(system: Shop, variables: Path) -> None:
    inside = system.folder / "config" / "variables"
    inside.write_text("VERSION=1.0\n")
    saved = system.backup()
    inside.write_text("VERSION=2.0\n")
    restored(system, saved, f"managers.lab.env_file={inside}")
    assert inside.read_text() == "VERSION=2.0\n"
    assert variables.read_bytes() == SAVED, "another file than that of the manager is what was saved"


@pytest.mark.parametrize("left", [None, b"LEVEL=debug\n"])
def test_where_none_is_in_use_it_is_that_of_the_backup(
    system: Shop, backup: Manifest, variables: Path, left: bytes | None
) -> None:
    variables.unlink()
    if left is not None:
        variables.write_bytes(left)
    done = restored(system, backup)
    assert variables.read_bytes() == SAVED
    assert not [line for line in done.story if "VERSION" in line]


def test_who_cannot_be_asked_is_told(system: Shop, backup: Manifest, variables: Path) -> None:
    variables.write_text("VERSION=2.0\n")
    gone = {"kind": "compose", "file": "/nowhere/compose.yaml", "project": "shop", "command": '["false"]'}
    given = [f"managers.gone.{key}={value}" for key, value in gone.items()]
    done = restored(system, backup, *given, "services.ml.manager=gone")
    told = 'nobody could look which file names the version of "ml", so none of that is kept: '
    assert [line.startswith(told) for line in done.story if "names the version" in line] == [True]
    assert b"VERSION=2.0 " in variables.read_bytes(), "the other manager could be asked"

"""Files come back as they were saved, whatever they are called, and the folders that they lie in as well."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from pytest_runbook.backup import reading
from pytest_runbook.backup.manifest import MANIFEST
from pytest_runbook.backup.restore import journal

from tests.backup.filesystem import Filesystem, filesystem


@pytest.fixture
def system(tmp_path: Path) -> Filesystem:
    return filesystem(tmp_path)


@pytest.mark.parametrize("name", ["C:\\photo\\x.wav", "..\\x", "\\", " ", "a\nb", "-rf", "ä"])
def test_whatever_users_call_a_file_it_can_be_restored(system: Filesystem, name: str) -> None:
    (system.uploads / name).write_text("fox")
    (system.uploads / f"link to {name}").symlink_to(name)
    made = system.backup()
    (system.uploads / name).unlink()
    assert system.restore(made).state == journal.DONE
    assert (system.uploads / name).read_text() == "fox"
    assert (system.uploads / f"link to {name}").read_text() == "fox"


@pytest.mark.parametrize("name", ["", ".", "..", "/", "/etc/passwd", "a/../b", "a//b", "a/./b", "a/", "a\0b"])
def test_a_path_that_leads_elsewhere_is_not_inside(name: str) -> None:
    assert not reading.inside(name)


def test_a_change_that_leaves_size_and_time_as_they_were_is_saved(system: Filesystem) -> None:
    path = system.config / "shop.conf"
    system.backup()
    before = path.stat()
    path.write_text("port=9999\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    changed = system.backup()
    assert changed.files
    assert changed.files["config/shop.conf"].backup == changed.id
    path.write_text("port=1\n")
    system.restore(changed)
    assert path.read_text() == "port=9999\n"


def test_what_an_older_manifest_knows_of_a_file_is_enough_not_to_store_it_again(system: Filesystem) -> None:
    first = system.backup()
    path = system.folder / "local" / first.id / MANIFEST
    told = json.loads(path.read_text())
    del told["files"]["uploads/a.wav"]["ctime"]
    path.write_text(json.dumps(told))
    (system.config / "shop.conf").touch()
    (system.uploads / "b.wav").write_text("fox")
    second = system.backup()
    assert second.files
    assert {name: file.backup for name, file in second.files.items() if file.sha256} == {
        "config/shop.conf": first.id,
        "uploads/a.wav": first.id,
        "uploads/b.wav": second.id,
    }
    assert second.files["uploads/a.wav"].ctime == (system.uploads / "a.wav").stat().st_ctime

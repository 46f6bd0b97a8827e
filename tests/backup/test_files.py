"""Files come back as they were saved, whatever they are called, and the folders that they lie in as well."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from pytest_runbook.backup import archive, destinations, making, reading, verify
from pytest_runbook.backup.checksums import of_file
from pytest_runbook.backup.manifest import FILES, MANIFEST
from pytest_runbook.backup.reaching import reached
from pytest_runbook.backup.restore import journal, tree
from pytest_runbook.backup.restore.exchange import tag
from pytest_runbook.backup.restore.keeping import Keeping, refusal
from pytest_runbook.backup.restore.production import Production
from pytest_runbook.errors import BackupError, RestoreError

from tests.backup.filesystem import Filesystem, filesystem

DEEP = 1200
"""More than Python calls itself, and than a process opens."""


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


def test_a_root_that_was_empty_is_empty_again(system: Filesystem) -> None:
    (system.uploads / "a.wav").unlink()
    made = system.backup()
    (system.uploads / "later.wav").write_text("fox")
    done = system.restore(made)
    assert (done.state, [*system.uploads.iterdir()]) == (journal.DONE, [])
    assert system.beside == [f"{name}.before-{tag(done.id)}" for name in ("config", "uploads")]
    system.lose()
    system.restore(made)
    assert [*system.uploads.iterdir()] == []


def test_a_root_that_the_backup_does_not_hold_is_told_and_stays(system: Filesystem) -> None:
    made = system.backup()
    later = system.folder / "system" / "optional" / "later"
    later.parent.mkdir()
    later.touch()
    system.restore(made)
    assert later.exists()
    assert 'the backup holds nothing of "optional": what is there stays as it is' in system.said


def test_folders_come_back_with_their_modes_and_times(system: Filesystem) -> None:
    folders = {"private": 0o700, "private/shared": 0o2770, "drop": 0o1733, "sealed": 0o500, "empty": 0o755}
    for name in folders:
        (system.uploads / name).mkdir()
    (system.uploads / "private" / "a.wav").write_text("owl")
    for name, mode in reversed(folders.items()):
        os.utime(system.uploads / name, (1_000_000, 1_000_000))
        (system.uploads / name).chmod(mode)
    system.config.chmod(0o750)
    made = system.backup()
    (system.uploads / "sealed").chmod(0o700)
    system.lose()
    system.restore(made)
    seen = {name: (system.uploads / name).stat() for name in folders}
    assert {name: stat.S_IMODE(one.st_mode) for name, one in seen.items()} == folders
    assert {one.st_mtime for one in seen.values()} == {1_000_000.0}
    assert stat.S_IMODE(system.config.stat().st_mode) == 0o750
    assert (system.uploads / "private" / "a.wav").read_text() == "owl"


def test_a_backup_that_knows_of_no_folders_is_verified_and_restored(system: Filesystem) -> None:
    """As made before manifests named them: their archives have none either."""
    (system.uploads / "2026").mkdir()
    (system.uploads / "2026" / "b.wav").write_text("fox")
    made = system.backup()
    older(system.folder / "local" / made.id)
    assert system.faults(made) == []
    system.lose()
    old = destinations.connect("local", system.loaded.settings, system.folder).manifest(made.id)
    assert old.files and not [*old.files.folders()]  # type: ignore[attr-defined]
    assert system.restore(old).state == journal.DONE
    assert (system.uploads / "2026" / "b.wav").read_text() == "fox"
    assert stat.S_IMODE((system.uploads / "2026").stat().st_mode) == 0o755


def older(folder: Path) -> None:
    """Make the backup in FOLDER one of version 1."""
    with (
        (folder / FILES).open("rb") as stream,
        archive.reading(stream) as source,
        archive.writing(folder / "new") as target,
    ):
        for member, content in archive.members(source):
            if content:
                target.addfile(member, content)
    (folder / "new").replace(folder / FILES)
    told = json.loads((folder / MANIFEST).read_text())
    told["version"] = 1
    told["stored"][FILES] = {"size": (folder / FILES).stat().st_size, "sha256": of_file(folder / FILES)}
    told["files"] = {name: one for name, one in told["files"].items() if not one["folder"]}
    for one in told["files"].values():
        del one["folder"], one["ctime"]
    (folder / MANIFEST).write_text(json.dumps(told))


def test_an_archive_without_a_folder_is_not_good(system: Filesystem) -> None:
    (system.uploads / "empty").mkdir()
    made = system.backup()
    folder = system.folder / "local" / made.id
    told = json.loads((folder / MANIFEST).read_text())
    older(folder)
    told["stored"] = json.loads((folder / MANIFEST).read_text())["stored"]
    (folder / MANIFEST).write_text(json.dumps(told))
    assert {(one.reason, one.where) for one in system.faults(made)} == {
        ("missing", f"{FILES}:{name}") for name in ("config", "uploads", "uploads/empty")
    }


@pytest.fixture
def deep(system: Filesystem) -> Iterator[Path]:
    """A folder that lies deep in the uploads; they are gone in the end, since pytest could not remove them."""
    path = system.uploads
    for number in range(DEEP):
        path /= "d" * (number % 2 + 1)
        path.mkdir()
    yield path
    for uploads in (system.folder / "system").glob("uploads*"):
        tree.remove(uploads)


def test_folders_may_be_as_deep_as_users_like(system: Filesystem, deep: Path) -> None:
    (deep / "a.wav").write_text("owl")
    made = system.backup()
    (deep / "a.wav").unlink()
    done = system.restore(made)
    assert (deep / "a.wav").read_text() == "owl"
    aside = system.folder / "system" / f"uploads.before-{tag(done.id)}"
    kept = {one.name: one.size for one in Keeping(Production(system.loaded, system.folder)).of(done)}
    assert kept[str(aside)] > DEEP
    tree.remove(aside)
    assert not aside.exists()


@pytest.fixture
def deeper(system: Filesystem) -> Iterator[str]:
    """A folder in the uploads whose path the system does not take as a whole."""
    names = ["d" * 200] * 25
    for number, name in enumerate(names):
        with reached(system.uploads, "/".join(names[:number])) as here:
            os.mkdir(name, 0o750, dir_fd=here)
    yield "/".join(names)
    for uploads in (system.folder / "system").glob("uploads*"):
        tree.remove(uploads)


def test_folders_may_be_deeper_than_a_path_may_be_long(system: Filesystem, deeper: str) -> None:
    with reached(system.uploads, deeper) as here:
        with open("a.wav", "w", opener=partial(os.open, dir_fd=here)) as file:
            file.write("owl")
        os.symlink("a.wav", "last", dir_fd=here)
    made = system.backup()
    assert system.faults(made) == []
    assert system.backup().needs == {made.id}
    with reached(system.uploads, deeper) as here:
        os.unlink("a.wav", dir_fd=here)
    done = system.restore(made)
    with reached(system.uploads, deeper) as here:
        assert stat.S_IMODE(os.fstat(here).st_mode) == 0o750
        assert os.readlink("last", dir_fd=here) == "a.wav"
        with open("last", opener=partial(os.open, dir_fd=here)) as file:
            assert file.read() == "owl"
    assert all(one.size for one in Keeping(Production(system.loaded, system.folder)).of(done))


def test_what_is_excluded_may_be_as_deep_too(system: Filesystem, deeper: str) -> None:
    part = system.loaded.settings.backup.files.model_copy(update={"exclude": [f"uploads/{deeper}"]})
    found = [one.name for one in archive.walk(part, system.folder)]
    assert f"uploads/{deeper.rpartition('/')[0]}" in found
    assert f"uploads/{deeper}" not in found


def test_removing_follows_no_link_and_ends_at_no_mode(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "kept").touch()
    gone = tmp_path / "gone"
    for name in (".removed-0", "a", "b"):
        (gone / name / "inner").mkdir(parents=True)
        (gone / name / "inner" / "file").touch()
        (gone / name / "inner").chmod(0o500)
    (gone / "link").symlink_to(tmp_path / "other")
    tree.remove(gone)
    assert [path.name for path in tmp_path.iterdir()] == ["other"]
    assert (tmp_path / "other" / "kept").exists()
    (tmp_path / "link").symlink_to(tmp_path / "other")
    with pytest.raises(OSError, match="link"):
        tree.remove(tmp_path / "link")
    assert (tmp_path / "other" / "kept").exists()


def test_a_root_that_is_a_link_stays_one(system: Filesystem) -> None:
    disk = system.folder / "disk"
    disk.mkdir()
    system.uploads.rename(disk / "uploads")
    system.uploads.symlink_to(disk / "uploads")
    made = system.backup()
    (disk / "uploads" / "a.wav").write_text("later")
    done = system.restore(made)
    assert system.uploads.readlink() == disk / "uploads"
    assert (disk / "uploads" / "a.wav").read_bytes() == b"owl"
    aside = disk / f"uploads.before-{tag(done.id)}"
    assert (aside / "a.wav").read_text() == "later"
    assert sorted(path.name for path in disk.iterdir()) == ["uploads", aside.name]
    kept = Keeping(Production(system.loaded, system.folder)).of(done)
    assert [(one.name, refusal(one, done)) for one in kept if "uploads" in one.name] == [(str(aside), None)]


def test_a_link_that_leads_to_a_disk_that_is_not_there_is_refused(system: Filesystem) -> None:
    made = system.backup()
    tree.remove(system.uploads)
    disk = system.folder / "disk"
    system.uploads.symlink_to(disk / "uploads")
    with pytest.raises(
        RestoreError,
        match=f'root "uploads", "{disk}/uploads", cannot be exchanged: there is no folder "{disk}"\n'
        "  hint: mount its disk, or make it",
    ):
        system.restore(made)
    assert system.beside == []


@contextmanager
def mounted(*arguments: str | Path) -> Iterator[None]:
    done = subprocess.run(["mount", *map(str, arguments)], check=False, capture_output=True)
    if done.returncode:
        pytest.skip("this user may not mount")
    try:
        yield
    finally:
        subprocess.run(["umount", arguments[-1]], check=True)


@pytest.mark.parametrize("same_disk", [True, False])
def test_a_root_that_is_mounted_is_refused_before_anything_is_made(system: Filesystem, same_disk: bool) -> None:
    made = system.backup()
    elsewhere = system.folder / "elsewhere"
    elsewhere.mkdir()
    what = ["--bind", elsewhere] if same_disk else ["-t", "tmpfs", "none"]
    with mounted(*what, system.uploads):
        (system.uploads / "later").touch()
        with pytest.raises(
            RestoreError,
            match=f'root "uploads", "{system.uploads}", cannot be exchanged: something is mounted there, and that cannot '
            r"be renamed\n  hint: let the root be a folder inside of it",
        ):
            system.restore(made)
        assert [path.name for path in system.uploads.iterdir()] == ["later"]
    assert system.beside == []
    assert Production(system.loaded, system.folder).journal.all() == []


def test_roots_on_several_disks_are_made_ready_each_on_its_own(system: Filesystem) -> None:
    disk = system.folder / "disk"
    disk.mkdir()
    made = system.backup()
    with mounted("-t", "tmpfs", "none", disk):
        tree.remove(system.uploads)
        system.uploads.symlink_to(disk / "uploads")
        done = system.restore(made)
        assert (done.state, system.uploads.is_symlink()) == (journal.DONE, True)
        assert [(path.name, [*path.iterdir()]) for path in disk.iterdir()] == [
            ("uploads", [disk / "uploads" / "a.wav"])
        ]
        assert {Path(path).parent for path in done.made} == {disk, system.folder / "system"}
    assert system.beside == [f"config.before-{tag(done.id)}"]


def test_a_place_that_may_only_be_read_is_restored_from(system: Filesystem) -> None:
    """Who has to note that a backup is good is told that it cannot; who restores only wants it good."""
    made = system.backup()
    place = making.local(system.loaded.settings, system.folder)
    system.lose()
    with mounted("-o", "bind,ro", place.folder, place.folder):
        with pytest.raises(BackupError, match="read-only file system"):
            verify(place, made.id)
        assert system.restore(made).state == journal.DONE
    (told,) = [line for line in system.said if line.startswith(f'"{made.id}" is good, and that cannot be noted: ')]
    assert "read-only file system" in told
    assert (system.uploads / "a.wav").read_bytes() == b"owl"

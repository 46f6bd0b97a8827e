"""Files belong to whom they belonged to after a restore by root, or to the owner of the folder that they lie in."""

from __future__ import annotations

import os
import pwd
import stat
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from pytest_runbook.backup import making, owners
from pytest_runbook.backup.restore import journal, scratch, tree
from pytest_runbook.backup.restore.preparing import Preparing
from pytest_runbook.backup.restore.production import Production

from tests.backup.filesystem import Filesystem, filesystem

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture
def system(tmp_path: Path) -> Filesystem:
    return filesystem(tmp_path)


def owner(path: Path) -> tuple[int, int]:
    seen = path.lstat()
    return seen.st_uid, seen.st_gid


def test_each_file_link_and_folder_belongs_to_whom_it_belonged_to(system: Filesystem) -> None:
    (system.uploads / "private").mkdir()
    (system.uploads / "link").symlink_to("a.wav")
    given = {"": "daemon:daemon", "a.wav": "nobody:nogroup", "link": "bin:bin", "private": "daemon:4321"}
    for name, whose in given.items():
        os.chown(system.uploads / name, *owners.numbers(whose), follow_symlinks=False)
    (system.uploads / "private").chmod(0o2770)
    before = {name: owner(system.uploads / name) for name in given}
    assert {user for user, _ in before.values()} == {pwd.getpwnam(name).pw_uid for name in ("daemon", "nobody", "bin")}
    made = system.backup()
    assert made.files
    assert {name: made.files[f"uploads/{name}".rstrip("/")].owner for name in given} == given
    system.lose()
    system.restore(made)
    assert {name: owner(system.uploads / name) for name in given} == before
    assert stat.S_IMODE((system.uploads / "private").stat().st_mode) == 0o2770
    assert not any("what belonged to" in line for line in system.said)


@pytest.mark.parametrize("saved", ["", "of-another-machine:daemon"])
def test_what_belonged_to_nobody_known_belongs_to_whom_the_root_that_is_there_belongs_to(
    system: Filesystem, saved: str
) -> None:
    (system.uploads / "private").mkdir(mode=0o700)
    made = system.backup()
    assert made.files
    older = replace(made, files={name: replace(file, owner=saved) for name, file in made.files.items()})
    os.chown(system.uploads, 1234, 4321)
    Production(system.loaded, system.folder, say=system.said.append).restore("local", older, ["files"], safety=False)
    inside = [system.uploads / name for name, _, _ in tree.below(system.uploads)]
    assert {owner(path) for path in (system.uploads, *inside)} == {(1234, 4321)}
    told = f'of "uploads", what belonged to {saved} belongs to the owner of its folder: this machine does not know them'
    assert system.said.count(told) == bool(saved)


def test_owners_are_given_to_the_files_whatever_other_parts_note_meanwhile(
    system: Filesystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    os.chown(system.uploads / "a.wav", *owners.numbers("nobody:nogroup"))
    made = system.backup()
    place = making.local(system.loaded.settings, system.folder)
    restore = journal.Journal(tmp_path / "journal").begin("20260101T000000Z-abcd", made.id, "local", ["files"])
    database = journal.Swap("database", "shop", "shop_before", "shop_restore")
    with scratch.folder(tmp_path) as home:
        Preparing(
            *(system.loaded.settings, system.folder, place, made, restore, home),
            save=partial(restore.swaps.append, database),  # as the database's part does, side by side with the files
            proofs=[],
            tell=system.said.append,
        ).run(lambda *_: nullcontext())
    (uploads,) = [Path(one.made) for one in restore.swaps if one.live == str(system.uploads)]
    assert owner(uploads / "a.wav") == owner(system.uploads / "a.wav") == owners.numbers("nobody:nogroup")
    assert not any("what belonged to" in line for line in system.said)
    assert [*Path.cwd().iterdir()] == []

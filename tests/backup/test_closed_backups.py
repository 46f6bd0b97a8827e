"""Backups that this user may not look into, as root's after a restore: they count, and what they may need stays."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from pytest_runbook import clock
from pytest_runbook.backup import everything, making
from pytest_runbook.backup.destinations.folder import Folder
from pytest_runbook.backup.manifest import Manifest

from tests.backup.filesystem import Filesystem, filesystem


@pytest.fixture
def system(tmp_path: Path) -> Filesystem:
    return filesystem(tmp_path)


@pytest.fixture
def place(system: Filesystem) -> Iterator[Folder]:
    """Its local backups, all open in the end."""
    place = making.local(system.loaded.settings, system.folder)
    yield place
    for folder in place.folder.iterdir():
        folder.chmod(0o700)


def runbook(system: Filesystem, *words: str) -> subprocess.CompletedProcess[str]:
    """`runbook` with WORDS, without root's right to read everything."""
    plainly = ["setpriv", "--bounding-set=-all"] if os.geteuid() == 0 else []
    argv = [*plainly, sys.executable, "-c", "from pytest_runbook.cli import main; main()"]
    settings = ["--settings", str(system.folder / "shop.toml")]
    return subprocess.run([*argv, *words, *settings], cwd=system.folder, capture_output=True, text=True, check=False)


def made(system: Filesystem, days: float, *, full: bool = False) -> Manifest:
    """A backup that is DAYS old."""
    moment = clock.now() - timedelta(days=days)
    return everything.backup(system.loaded.settings, system.folder, moment=moment, full=full, prune=False).manifest


def test_retention_keeps_all_that_it_may_need(system: Filesystem, place: Folder) -> None:
    first, second, third = made(system, 60), made(system, 20), made(system, 1, full=True)
    assert (second.needs, third.needs) == ({first.id}, set())
    place.path(second.id).chmod(0)
    done = runbook(system, "backup", "--prune", "--set=backup.retention.verified=1")
    assert (done.returncode, done.stderr) == (0, "")
    assert f'{first.id}  local  kept: "{second.id}" cannot be read, and may need files of it' in done.stdout
    assert f"{second.id}  local  kept: it cannot be read, look at it: " in done.stdout
    place.path(second.id).chmod(0o700)
    assert system.faults(second) == []


def test_the_newest_is_not_passed_over_in_silence(system: Filesystem, place: Folder) -> None:
    first, second = made(system, 2), made(system, 1)
    place.path(second.id).chmod(0)
    done = runbook(system, "backup", "--verify", "newest")
    manifest = place.path(second.id) / "manifest.json"
    assert (done.returncode, f'"{manifest}" cannot be read: permission denied' in done.stderr) == (1, True), done.stdout
    listed = runbook(system, "backup", "--list")
    assert f"{second.id}  local  cannot be read" in listed.stdout
    assert f"{first.id}  local  {first.size:,} bytes  verified " in listed.stdout


@pytest.mark.parametrize("mode", [0o300, 0o311])
def test_one_that_may_be_entered_and_not_listed_is_not_damaged(system: Filesystem, place: Folder, mode: int) -> None:
    backup = made(system, 1)
    place.path(backup.id).chmod(mode)
    done = runbook(system, "backup", "--verify", backup.id)
    said = f'"{place.path(backup.id)}": permission denied\n  hint: see the disk of {place.place}'
    assert (done.returncode, said in done.stderr) == (1, True), done.stdout
    place.path(backup.id).chmod(0o700)
    assert place.noted(backup.id, "refuted.json") is None


@pytest.mark.parametrize(
    ("name", "said", "status"), [("closed", " cannot be written to", 1), ("closed/scratch", "", 3)]
)
def test_a_folder_that_may_not_be_entered_is_told_in_words(
    system: Filesystem, name: str, said: str, status: int
) -> None:
    """And not by a traceback, whoever meets it."""
    made(system, 1)
    (system.folder / "closed").mkdir(mode=0)
    done = runbook(system, "restore", "newest", f"--set=drill.folder={system.folder / name}")
    told = f'"{system.folder / name}"{said}: permission denied\n  hint: look at the room and rights there'
    assert (done.returncode, done.stderr.strip().removesuffix(", or set drill.folder")) == (status, told)

"""Backups that this user may not look into, as root's after a restore: they count, and what they may need stays."""

from __future__ import annotations

import json
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
from pytest_runbook.backup.manifest import RESTORED, VERIFIED, Manifest
from pytest_runbook.checkrun import RECORD
from pytest_runbook.model import Outcome, RunRecord

from tests.backup.filesystem import Filesystem, filesystem
from tests.looking import ROOT

PLAINLY = ["setpriv", "--bounding-set=-all"] if os.geteuid() == 0 else []
"""Before a command: without root's right to read everything."""
LOOKED_AT = """
[services.storage]

[limits.backup]
age = 93600
reading = 7200
size = 1
shrink = 0.5
restored = 3024000
read = 1000000
read_here = 1000000
"""


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
    argv = [*PLAINLY, sys.executable, "-c", "from pytest_runbook.cli import main; main()"]
    settings = ["--settings", str(system.folder / "shop.toml")]
    return subprocess.run([*argv, *words, *settings], cwd=system.folder, capture_output=True, text=True, check=False)


def made(system: Filesystem, days: float, *, full: bool = False) -> Manifest:
    """A backup that is DAYS old."""
    moment = clock.now() - timedelta(days=days)
    return everything.backup(system.loaded.settings, system.folder, moment=moment, full=full, prune=False).manifest


def seen(system: Filesystem) -> dict[str, tuple[str, str]]:
    """What each check of the backups on this machine says, without root's right to read everything."""
    settings, report = system.folder / "looked-at.toml", system.folder / "report"
    settings.write_text((system.folder / "shop.toml").read_text() + LOOKED_AT)
    once = ["--set=confirm.of=1", "--set=confirm.failures=1", "-p", "no:cacheprovider"]
    argv = [*PLAINLY, sys.executable, "-m", "pytest", f"--settings={settings}", f"--report={report}", *once]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
    subprocess.run([*argv, "checks/storage/freshness.py"], cwd=ROOT, env=clean, capture_output=True, check=False)
    results = RunRecord.from_json(json.loads((report / RECORD).read_text())).results
    return {one.check.id.partition("::")[2]: (one.outcome, one.message or "") for one in results}


def proved(place: Folder, backup: Manifest, days: float) -> None:
    """A drill has proved BACKUP, DAYS ago."""
    place.note(backup.id, RESTORED, {"verdict": "proven", "at": clock.iso(clock.now() - timedelta(days=days))})


def test_an_old_one_keeps_nobody_from_seeing_that_the_newest_is_good(system: Filesystem, place: Folder) -> None:
    """As that of root, which retention keeps: a deployment is not refused for it, and a drill has proved another."""
    first, second, _ = (made(system, days, full=True) for days in (3, 2, 0.5))
    proved(place, first, 1)
    place.path(second.id).chmod(0)
    told = seen(system)
    assert told["recent_backup_is_good"] == told["a_backup_was_restored_lately"] == (Outcome.PASSED, "")


def test_nobody_can_tell_whether_the_newest_is_good_nor_when_a_drill_was_if_no_other_tells(
    system: Filesystem, place: Folder
) -> None:
    first, second = made(system, 60, full=True), made(system, 0.5, full=True)
    proved(place, first, 50)
    place.path(second.id).chmod(0)
    told = seen(system)
    for check, name in (("recent_backup_is_good", "manifest.json"), ("a_backup_was_restored_lately", RESTORED)):
        said = f'"{place.path(second.id) / name}" cannot be read: permission denied'
        assert told[check] == (Outcome.UNMEASURED, said)


def test_one_before_the_one_that_is_being_read_back_is_the_newest(system: Filesystem, place: Folder) -> None:
    _, second, third = (made(system, days, full=True) for days in (2, 0.5, 0))
    place.forget(third.id, VERIFIED)
    assert seen(system)["recent_backup_is_good"] == (Outcome.PASSED, "")
    place.path(second.id).chmod(0)
    outcome, message = seen(system)["recent_backup_is_good"]
    assert (outcome, f'"{place.path(second.id)}' in message) == (Outcome.UNMEASURED, True)


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
    assert (
        done.returncode,
        f'"{manifest}" cannot be read: permission denied\n  hint: let this user read it: ' in done.stderr,
    ) == (1, True), done.stdout
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

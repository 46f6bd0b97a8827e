"""The nightly look at the newest backup: files that lost their content are seen, whoever holds them, however large."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_runbook.backup import closing, everything
from pytest_runbook.backup.manifest import DATABASE, FILES
from pytest_runbook.model import Outcome

from lab.rounds import run_checks
from tests.backup.conftest import Backups
from tests.backup.test_destinations import declared, keys

TOC = f"{DATABASE}/toc.dat"


@pytest.fixture
def sealed(backups: Backups) -> Backups:
    """Two good backups here and in an encrypted folder "other"; the second needs files of the first."""
    backups.more |= declared("folder-encrypted", backups.folder) | keys(backups)
    for _ in range(2):
        made = everything.backup(backups.settings(), backups.folder, to=["other", "s3"], prune=False)
        assert made.good, (made.problems, made.verdicts)
    assert len(made.manifest.needs) == 1
    return backups


def seen(backups: Backups, check: str, **limits: float) -> tuple[str, str]:
    """What CHECK says, told LIMITS."""
    environment = {
        **backups.lab.environment(),
        **backups.variables,
        **{f"RUNBOOK__LIMITS__BACKUP__{name.upper()}": str(value) for name, value in limits.items()},
    }
    folder = backups.folder / f"run-{len(list(backups.folder.glob('run-*')))}"
    record = run_checks(folder, environment, "checks/storage/freshness.py", expression="predeploy")
    (result,) = [one for one in record.results if one.check.id == f"storage/freshness::{check}"]
    return result.outcome, result.message or ""


def here(backups: Backups, **limits: float) -> tuple[str, str]:
    return seen(backups, "recent_backup_is_good", **limits)


def off_site(backups: Backups, **limits: float) -> tuple[str, str]:
    return seen(backups, "recent_backup_is_off_site", **limits)


def test_an_earlier_backup_whose_archive_is_empty_is_seen_here_and_off_site(sealed: Backups) -> None:
    first, _ = sealed.local.backups()
    assert here(sealed) == off_site(sealed) == (Outcome.PASSED, "")
    with closing("other", sealed.settings(), sealed.folder) as place:
        paths = [sealed.local.path(first) / FILES, Path(place.place, first, f"{FILES}.age")]
    for path in paths:
        path.write_bytes(b"")
    outcome, message = here(sealed)
    assert (outcome, f'files of it are in "{first}", of which "{FILES}" has 0 bytes, ' in message) == (
        Outcome.FAILED,
        True,
    )
    outcome, message = off_site(sealed)
    assert (outcome, f'files of it are in "{first}", of which "{FILES}" has 0 bytes, at least ' in message) == (
        Outcome.FAILED,
        True,
    )


def test_the_next_backup_needs_nothing_of_an_archive_that_is_empty(sealed: Backups) -> None:
    first, _ = sealed.local.backups()
    (sealed.local.path(first) / FILES).write_bytes(b"")
    third = everything.backup(sealed.settings(), sealed.folder, to=[], prune=False)
    assert (third.good, third.manifest.needs) == (True, set())
    assert here(sealed) == (Outcome.PASSED, "")


def test_an_earlier_backup_without_a_manifest_is_seen(sealed: Backups) -> None:
    first, _ = sealed.local.backups()
    (sealed.local.path(first) / "manifest.json").unlink()
    outcome, message = here(sealed)
    assert (outcome, f'files of it are in "{first}", whose manifest cannot be read: ' in message) == (
        Outcome.FAILED,
        True,
    )


@pytest.mark.parametrize("size", [0, 100])
def test_an_encrypted_file_that_is_cut_is_seen_without_reading_it(sealed: Backups, size: int) -> None:
    _, newest = sealed.local.backups()
    with closing("other", sealed.settings(), sealed.folder) as place:
        path = Path(place.place, newest, f"{TOC}.age")
    whole = path.read_bytes()
    assert off_site(sealed, read=0) == (Outcome.PASSED, "")
    path.write_bytes(whole[:size])
    outcome, message = off_site(sealed, read=0)
    assert (outcome, f'"{TOC}" has {size} bytes, at least ' in message) == (Outcome.FAILED, True)


def test_no_more_is_read_than_the_limit_says(sealed: Backups) -> None:
    _, newest = sealed.local.backups()
    path = sealed.local.path(newest) / TOC
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert here(sealed, read_here=len(content) - 1) == (Outcome.PASSED, "")
    outcome, message = here(sealed)
    assert (outcome, f'"{TOC}" is not what was written' in message) == (Outcome.FAILED, True)


def test_who_has_no_key_has_not_seen_that_it_is_bad(sealed: Backups) -> None:
    (sealed.folder / "key.txt").unlink()
    outcome, message = off_site(sealed)
    assert (outcome, "key.txt" in message) == (Outcome.UNMEASURED, True)


@pytest.mark.parametrize(
    ("path", "outcome", "why"),
    [
        ("/proc/self/mem", Outcome.FAILED, "cannot be read: input/output error"),
        ("/sys/class/net/lo/speed", Outcome.UNMEASURED, "cannot be read: invalid argument"),
    ],
)
def test_a_bad_sector_makes_a_bad_backup_and_a_disk_that_does_not_let_us_in_none(
    backups: Backups, path: str, outcome: Outcome, why: str
) -> None:
    newest = backups.make("local").manifest.id
    manifest = backups.local.path(newest) / "manifest.json"
    manifest.unlink()
    manifest.symlink_to(path)  # it can be opened, and not be read
    seen, message = here(backups)
    assert (seen, f'"{manifest}" {why}' in message) == (outcome, True)


def test_a_folder_that_nobody_can_look_into_is_unmeasured(backups: Backups) -> None:
    loop = backups.folder / "loop"
    loop.symlink_to(loop)
    backups.more["RUNBOOK__BACKUP__DESTINATIONS__LOCAL__PATH"] = str(loop)
    outcome, message = here(backups)
    assert (outcome, f'"{loop}": too many levels of symbolic links' in message) == (Outcome.UNMEASURED, True)

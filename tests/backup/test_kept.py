"""What restores keep is shown, and goes only when somebody is sure and the system is well without it."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from pytest_runbook.backup import everything
from pytest_runbook.backup.manifest import Manifest
from pytest_runbook.backup.restore import journal, left_out
from pytest_runbook.backup.restore.exchange import tag
from pytest_runbook.backup.restore.journal import Journal, Restore
from pytest_runbook.backup.restore.keeping import Keeping, Kept, refusal
from pytest_runbook.backup.restore.production import Production
from pytest_runbook.errors import RestoreError

from tests.backup.restored import run
from tests.backup.systems import Shop


@pytest.fixture(autouse=True)
def opened(system: Shop) -> None:
    (system.folder / "closed").unlink(missing_ok=True)


def restored(system: Shop, backup: Manifest, parts: str, *overrides: str) -> Restore:
    return Production(system.told(*overrides), system.folder).restore("away", backup, parts.split(), safety=False)


def keeping(system: Shop, *overrides: str) -> Keeping:
    return Keeping(Production(system.told(*overrides), system.folder))


def names(kept: list[Kept]) -> list[str]:
    return [one.name for one in kept]


def test_what_is_kept_is_shown_and_removed(system: Shop, backup: Manifest) -> None:
    done = restored(system, backup, "database files config")
    mark = tag(done.id)
    aside = [
        f"shop_before_{mark}",
        *(f"{system.folder}/{name}.before-{mark}" for name in ("uploads", "config", ".env")),
    ]
    shown = run(system, "--kept").stdout
    assert all(name in shown for name in aside)
    assert f"{done.id}  done" in shown
    database = next(line for line in shown.splitlines() if aside[0] in line)
    assert int(database.split("(")[1].split()[0].replace(",", "")) > 1_000_000
    planned = run(system, "--discard", done.id, "--dry-run")
    assert (planned.returncode, planned.stdout.count("would be removed")) == (0, 4)
    assert len(keeping(system).of(done)) == 4
    gone = run(system, "--discard", done.id, "--yes-overwrite=Shop")
    assert (gone.returncode, "bytes are free again" in gone.stdout) == (0, True), gone.stderr
    assert keeping(system).all() == []
    assert system.database.sql("SELECT datname FROM pg_database WHERE datname ~ '^shop'") == [("shop",)]
    assert (system.folder / "uploads" / "2026" / "4.bin").is_file()
    assert sum("is removed" in line for line in keeping(system).production.journal.read(done.id).story) == 4


def test_what_the_backup_left_out_is_named_before_it_is_lost(system: Shop) -> None:
    """It is in no backup: only in what was put aside."""
    system.database.sql("INSERT INTO note VALUES ('of the audit')", "shop")
    (system.folder / "uploads" / "cache").mkdir(exist_ok=True)
    (system.folder / "uploads" / "cache" / "a").touch()
    told = ['backup.database.exclude=["note"]', 'backup.files.exclude=["uploads/cache*"]']
    made = everything.make(system.told(*told).settings, system.folder)
    arguments = [made.id, "--from=away", "--only=database,files", "--into=production", "--yes-overwrite=Shop"]
    try:
        done = run(system, *arguments, "--without-safety-backup")
        assert done.returncode == 0, done.stdout + done.stderr
        said = done.stdout.splitlines()
        for one in ('rows of "public.note"', 'files like "uploads/cache*"'):
            assert said.index(left_out.warning(one)) < next(n for n, line in enumerate(said) if "exchanged" in line)
            assert f"restore: {one} are only there: the backup left them out" in said
        restore = keeping(system).production.journal.all()[-1]
        lines = ['    only there: rows of "public.note"', '    only there: files like "uploads/cache*"']
        assert run(system, "--kept").stdout.splitlines()[-2:] == lines
        gone = run(system, "--discard", restore.id, "--yes-overwrite=Shop")
        assert gone.stdout.startswith('rows of "public.note" are only there: they are lost with it\nfiles like ')
        assert gone.returncode == 0, gone.stderr
    finally:
        for name in ("local", "away"):
            system.place(name).remove(made.id)


def test_a_backup_that_does_not_say_what_files_it_leaves_out_left_out_those_of_the_settings(system: Shop) -> None:
    settings = system.told('backup.files.exclude=["uploads/cache*"]').settings
    made = everything.make(settings, system.folder)
    older = replace(made, excluded=None)
    assert (made.excluded, Manifest.parse(older.text()).excluded) == (["uploads/cache*"], None)
    assert left_out.of(older, ["config"], settings) == ['files like "uploads/cache*"']
    assert left_out.of(older, ["config"], system.loaded.settings) == []
    assert left_out.of(older, ["database", "cache"], settings) == []
    for name in ("local", "away"):
        system.place(name).remove(made.id)


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--discard"], 4, "which restore?"),
        (["--discard", "{id}"], 4, "nobody can be asked for the name of the system"),
        (["--discard", "{id}", "--yes-overwrite=Other"], 4, "is not the name of the system"),
        (["--discard", "nonsense", "--yes-overwrite=Shop"], 4, 'unknown restore "nonsense" (known: '),
    ],
)
def test_nothing_goes_without_a_name(
    system: Shop, backup: Manifest, arguments: list[str], status: int, said: str
) -> None:
    done = restored(system, backup, "config")
    refused = run(system, *(one.format(id=done.id) for one in arguments))
    assert (refused.returncode, said in refused.stderr) == (status, True), refused.stderr
    assert len(keeping(system).of(done)) == 2
    keeping(system).discard(done.id)


def test_what_is_not_finished_keeps_everything(system: Shop, backup: Manifest) -> None:
    held = restored(system, backup, "config", "restore.checks=postdeploy and there_is_no_such")
    assert held.state == journal.HELD
    with pytest.raises(RestoreError, match=f'"{held.id}" is not finished\n  hint: runbook restore --finish, or --undo'):
        keeping(system).discard(held.id)
    undone = Production(system.loaded, system.folder).undo()
    # What had been restored may go as well, by then.
    assert names(keeping(system).discard(undone.id)) == [
        f"{system.folder}/{name}.restore-{tag(held.id)}" for name in (".env", "config")
    ]


def test_a_system_that_is_not_seen_to_be_well_keeps_everything(system: Shop, backup: Manifest) -> None:
    done = restored(system, backup, "config")
    (system.folder / "closed").touch()
    with pytest.raises(RestoreError, match=r"the system is not well, so nothing is removed: .*the shop is closed"):
        keeping(system).discard(done.id)
    with pytest.raises(RestoreError, match="could not be looked at"):
        keeping(system, "restore.checks=postdeploy and there_is_no_such").discard(done.id)
    with pytest.raises(RestoreError, match=f'nobody verified what "{done.id}" left in use: restore.checks is empty'):
        keeping(system, "restore.checks=").discard(done.id)
    assert len(keeping(system).of(done)) == 2
    (system.folder / "closed").unlink()
    keeping(system).discard(done.id)


def test_a_database_that_somebody_uses_stays(system: Shop, backup: Manifest) -> None:
    done = restored(system, backup, "database")
    (kept,) = keeping(system).of(done)
    with system.database.connect(database=kept.name), pytest.raises(RestoreError, match="accessed by other users"):
        keeping(system).discard(done.id)
    assert names(keeping(system).of(done)) == [kept.name]  # its size may change: it is vacuumed
    assert names(keeping(system).discard(done.id)) == [kept.name]


def test_what_a_restore_did_not_put_aside_is_never_removed(tmp_path: Path) -> None:
    one = Journal(tmp_path / "journal").begin("20260101T000000Z-abcd", "b", "s", [])
    mark = tag(one.id)
    assert refusal(Kept("path", f"{tmp_path}/uploads.before-{mark}", 0), one) is None
    assert refusal(Kept("database", f"shop_before_{mark}", 0), one) is None
    for kind, name in (
        ("path", f"{tmp_path}/uploads"),
        ("path", f"{tmp_path}/uploads.before-{mark}/a"),
        ("database", "shop"),
    ):
        assert refusal(Kept(kind, name, 0), one) == "its name is not one that a restore gives"
    (tmp_path / "link").symlink_to(tmp_path)
    assert (
        refusal(Kept("path", f"{tmp_path}/link/uploads.before-{mark}", 0), one)
        == "its path leads through a symbolic link"
    )
    mounted = tmp_path / f"disk.before-{mark}"
    (mounted / "inside").mkdir(parents=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "none", mounted / "inside"], check=False, capture_output=True)
    if done.returncode:
        pytest.skip("this user may not mount")
    try:
        assert refusal(Kept("path", str(mounted), 0), one) == f'something is mounted at "{mounted}/inside"'
    finally:
        subprocess.run(["umount", mounted / "inside"], check=True)

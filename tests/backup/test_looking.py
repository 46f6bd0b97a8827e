"""Commands about a restore that exists: they find it from everywhere, are never silent, and do what was asked and no more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_runbook.backup.manifest import Manifest
from pytest_runbook.backup.restore import journal
from pytest_runbook.backup.restore.journal import Restore
from pytest_runbook.backup.restore.production import Production

from tests.backup.systems import ManagedCache, Shop, managed

CONFIG = ("--from=away", "--only=config", "--into=production", "--yes-overwrite=Shop", "--without-safety-backup")
UNSEEN = "restore.checks=postdeploy and there_is_no_such"
STOPS = 'restore.stop=["ml"]'


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with managed(tmp_path_factory.mktemp("shop")) as made:
        yield made


@pytest.fixture
def held(system: Shop, backup: Manifest) -> Iterator[Restore]:
    """A restore of the configuration that nobody could look at; taken back at the end, if it still is."""
    (system.folder / "config" / "shop.json").write_text("{}")
    one = Production(system.told(UNSEEN, STOPS), system.folder).restore("away", backup, ["config"], safety=False)
    assert one.state == journal.HELD
    yield one
    if of(system, one).open:
        Production(system.told(STOPS), system.folder).undo(one.id)


def of(system: Shop, one: Restore) -> Restore:
    """ONE as its journal says it now."""
    return Production(system.told(), system.folder).journal.read(one.id)


def test_from_elsewhere_the_settings_say_where_the_project_lies(system: Shop, held: Restore, tmp_path: Path) -> None:
    elsewhere = [f"--settings={system.folder / 'shop.toml'}"]
    status = system.runbook("restore", "--status", *elsewhere, folder=tmp_path)
    assert f"{held.id}  held: config of {held.backup}" in status.stdout, status.stderr
    anew = system.runbook("restore", held.backup, *CONFIG, *elsewhere, folder=tmp_path)
    assert (anew.returncode, f'the restore "{held.id}" is not finished' in anew.stderr) == (1, True)
    planned = system.runbook("restore", held.backup, *CONFIG, "--dry-run", *elsewhere, folder=tmp_path)
    assert (planned.returncode, planned.stdout, planned.stderr) == (1, "", anew.stderr)
    for shown in (["history"], ["backup", "--list"]):
        assert system.runbook(*shown, *elsewhere, folder=tmp_path).returncode == 0
    assert [*tmp_path.iterdir()] == [], "nothing is begun where it is typed"


@pytest.fixture
def closed(system: Shop, held: Restore) -> Iterator[Path]:
    """The folder of the journal of the one that is held, which nobody may look into."""
    folder = Production(system.told(), system.folder).journal.path(held.id)
    folder.chmod(0)
    yield folder
    folder.chmod(0o700)


@pytest.mark.parametrize("words", [["--status"], ["--kept"], ["--undo", "--yes-overwrite=Shop"], ["ID", *CONFIG]])
def test_a_journal_that_may_not_be_read_is_no_silence(
    system: Shop, backup: Manifest, closed: Path, words: list[str]
) -> None:
    """As root's is by anybody else: a restore could begin over one that is open."""
    done = system.runbook("restore", *[backup.id if word == "ID" else word for word in words], powerless=True)
    assert done.returncode == 1, done.stdout
    assert f'"{closed / "restore.json"}" cannot be read: permission denied\n{journal.HINT}' in done.stderr


def test_nor_is_a_folder_of_them(system: Shop, closed: Path) -> None:
    closed.parent.chmod(0)
    try:
        done = system.runbook("restore", "--status", powerless=True)
    finally:
        closed.parent.chmod(0o700)
    assert done.returncode == 1
    assert f'"{closed.parent}" cannot be read: permission denied\n{journal.HINT}' in done.stderr


def test_who_may_write_no_journal_is_refused_before_the_backup_is_read_back(system: Shop, backup: Manifest) -> None:
    """As where root made their folder, and another user restores."""
    folder = Production(system.told(), system.folder).journal.folder
    folder.mkdir(parents=True, exist_ok=True)
    mode = folder.stat().st_mode
    folder.chmod(0o555)
    try:
        done = [system.runbook("restore", backup.id, *CONFIG, *more, powerless=True) for more in ([], ["--dry-run"])]
    finally:
        folder.chmod(mode)
    for one in done:
        assert (one.returncode, one.stdout) == (1, ""), one.stdout
        assert (
            f'"{folder}" may not be written, and the journal of a restore comes there\n  hint: restore as' in one.stderr
        )


def test_one_that_has_ended_keeps_nobody_from_restoring_and_stays_private(
    system: Shop, held: Restore, closed: Path
) -> None:
    """As root's, after which another user restores."""
    closed.chmod(0o700)
    assert Production(system.told(STOPS), system.folder).undo().state == journal.UNDONE
    assert [path.stat().st_mode & 0o077 for path in (closed, closed / "restore.json")] == [0, 0]
    closed.chmod(0)
    anew = system.runbook("restore", held.backup, *CONFIG, powerless=True)
    assert anew.returncode == 0, anew.stderr
    kept = system.runbook("restore", "--kept", powerless=True)
    assert (kept.returncode, f'"{closed / "restore.json"}" cannot be read' in kept.stderr) == (1, True)


def test_status_notes_the_end_of_one_that_a_version_before_ended(system: Shop, held: Restore, closed: Path) -> None:
    note = closed.with_name(f"{held.id}{journal.ENDED}")
    closed.chmod(0o700)
    system.runbook("restore", "--status")
    assert not note.exists(), "it is held"
    assert Production(system.told(STOPS), system.folder).undo().state == journal.UNDONE
    note.unlink()
    closed.chmod(0)
    anew = system.runbook("restore", held.backup, *CONFIG, powerless=True)
    assert (anew.returncode, journal.HINT in anew.stderr) == (1, True)
    closed.chmod(0o700)
    assert system.runbook("restore", "--status").returncode == 0
    assert note.read_bytes() == b""
    closed.chmod(0)
    assert system.runbook("restore", held.backup, *CONFIG, powerless=True).returncode == 0


FINISH = ("restore", "--finish", "--yes-overwrite=Shop", f"--set={STOPS}")


def ml(system: Shop) -> str:
    """What the manager says of the service that a restore stops, with its process and not how long it runs."""
    assert isinstance(system.cache, ManagedCache)
    return system.cache.control("status", "ml").partition(", uptime")[0]


@pytest.mark.parametrize(
    ("checks", "closed", "seen"),
    [
        ("postdeploy", False, "2 checks looked at it, none gates"),
        ("postdeploy and there_is_no_such", False, ""),
        ("postdeploy", True, "1 checks fail: database/shop::open: "),
    ],
)
def test_who_finishes_a_held_one_accepts_it_as_it_runs(
    system: Shop, held: Restore, checks: str, closed: bool, seen: str
) -> None:
    """Somebody wrote since, and a person has looked: whatever checks see by now, nothing is stopped or put aside."""
    before, config = ml(system), system.folder / "config" / "shop.json"
    assert "RUNNING" in before
    config.write_text("since then")
    (system.folder / "closed").touch() if closed else None
    try:
        done = system.runbook(*FINISH, f"--set=restore.checks={checks}")
    finally:
        (system.folder / "closed").unlink(missing_ok=True)
    assert (done.returncode, of(system, held).state) == (0, journal.DONE), done.stdout + done.stderr
    assert f"a person accepted it; what the checks see now: {seen}" in done.stdout
    assert (config.read_text(), ml(system)) == ("since then", before)


def test_a_held_one_is_not_accepted_without_the_name_of_the_system(system: Shop, held: Restore) -> None:
    done = system.runbook("restore", "--finish")
    assert (done.returncode, "nobody can be asked for the name of the system: nothing was done" in done.stderr) == (
        4,
        True,
    )
    assert of(system, held).state == journal.HELD


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--undo", "--dry-run"], '"--undo" knows no --dry-run: nothing was done'),
        (["--finish", "--dry-run"], '"--finish" knows no --dry-run: nothing was done'),
        (["--undo", "--finish"], '"--undo --finish" asks for several things: nothing was done'),
        (["--status", "--undo"], '"--status --undo" asks for several things: nothing was done'),
    ],
)
def test_what_is_to_be_shown_only_or_contradicts_itself_does_nothing(
    system: Shop, held: Restore, words: list[str], said: str
) -> None:
    done = system.runbook("restore", *words, "--yes-overwrite=Shop")
    assert done.returncode == 4
    assert f"{said}\n  hint: " in done.stderr
    assert of(system, held).state == journal.HELD

"""While a restore works nobody else does: no other restore, no deployment, and no runbook."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from pytest_runbook.backup import making
from pytest_runbook.backup.manifest import Manifest
from pytest_runbook.backup.restore import exclusion, journal
from pytest_runbook.backup.restore.journal import Restore
from pytest_runbook.backup.restore.production import PARTS, Production
from pytest_runbook.backup.restore.services import Services
from pytest_runbook.deploy import deployment
from pytest_runbook.errors import BackupError, RestoreError, RunbookError
from pytest_runbook.history import Store
from pytest_runbook.history.locks import Held
from pytest_runbook.process import Process
from pytest_runbook.runbooks import family
from pytest_runbook.runbooks.process import CHILD

from tests.backup.restored import AFTER, BEFORE, killed, left, look, restoring, run
from tests.backup.systems import Shop

pytestmark = pytest.mark.usefixtures("changed")


@contextmanager
def locked(system: Shop, target: str) -> Iterator[None]:
    """Somebody else works on TARGET."""
    settings = system.loaded.settings
    url = settings.history.url.get_secret_value()
    store = Store.open(url, settings.system.name, settings.system.environment, root=system.folder)
    with store.lock(target, "another"):
        yield


def working(run: str, *words: str) -> subprocess.Popen[bytes]:
    """A program that RUN started, whose command line has WORDS too."""
    around = {**os.environ, family.MARK: f"{run}.0123"}
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", *words], env=around)


def died(system: Shop, target: str, run: str) -> None:
    """RUN worked on TARGET, and was killed."""
    told, mine = system.loaded.settings, Process.current()
    url, gone = told.history.url.get_secret_value(), replace(mine, started=mine.started - 1)
    store = Store.open(url, told.system.name, told.system.environment, root=system.folder, process=gone)
    store.lock(target, run).leave()


def test_a_deployment_keeps_a_restore_out(system: Shop, backup: Manifest) -> None:
    with locked(system, deployment.LOCK), pytest.raises(RestoreError, match="a deployment, is going on"):
        restoring(system).restore("away", backup, ["config"])


def test_a_deployment_that_is_not_at_its_end_keeps_a_restore_out_until_somebody_says_otherwise(
    system: Shop, backup: Manifest
) -> None:
    told = system.loaded.settings
    url = told.history.url.get_secret_value()
    store = Store.open(url, told.system.name, told.system.environment, root=system.folder)
    number = store.begin_deployment("d1", "deploy", "1.4.3", {"web": "1.4.2"}, who="m.dupont", options={})
    program = working("d1")
    try:
        known = len(restoring(system).journal.all())
        with pytest.raises(RestoreError, match=r"of 1.4.3, is not at its end\n.*--over-deployment"):
            restoring(system).restore("away", backup, ["config"], safety=False)
        assert len(restoring(system).journal.all()) == known
        planned = ("--from=away", "--into=production", "--dry-run")
        refused, over = run(system, backup.id, *planned), run(system, backup.id, *planned, "--over-deployment")
        assert (refused.returncode, "--over-deployment" in refused.stderr, refused.stdout) == (1, True, "")
        assert (over.returncode, f"the deployment {number}, of 1.4.3, is not at its end" in over.stdout) == (0, True)
        assert program.poll() is None, "nothing of what is refused ends anything"
        done = restoring(system).restore("away", backup, ["config"], safety=False, over_deployment=True)
        assert program.wait(10), "it would start the version of the deployment in the middle of the restore"
        assert (done.state, done.story[0]) == (
            journal.DONE,
            f"the deployment {number}, of 1.4.3, is not at its end: runbook deploy --status, when this has ended",
        )
    finally:
        program.kill()
        store.end_deployment(number, "aborted", "the test is over", run="d1")


def test_while_a_runbook_works_on_a_service_nothing_is_exchanged(system: Shop, backup: Manifest) -> None:
    production = restoring(system, "restore.stopping=1")
    with locked(system, "cache"), pytest.raises(RestoreError, match="somebody works on a service"):
        production.restore("away", backup, PARTS, safety=False)
    assert look(system) == AFTER
    assert (restoring(system).finish().state, look(system)) == (journal.DONE, BEFORE)


def test_while_a_step_of_a_killed_run_works_nothing_is_exchanged(system: Shop, backup: Manifest) -> None:
    died(system, "cache", "r9")
    step = working("r9", CHILD)
    try:
        with pytest.raises(RunbookError, match="a step of the run r9, which died, does not end"):
            restoring(system).restore("away", backup, PARTS, safety=False)
        with pytest.raises(RunbookError, match="a step of the run r9"):  # whoever takes the lock next is told as well
            restoring(system).finish()
        assert look(system) == AFTER
    finally:
        step.kill()
        step.wait()
    assert (restoring(system).finish().state, look(system)) == (journal.DONE, BEFORE)


@pytest.mark.parametrize("way", ["finish", "undo"])
def test_what_a_killed_restore_started_is_ended_when_it_is_taken_up(system: Shop, backup: Manifest, way: str) -> None:
    one = killed(system, backup.id, "stop")
    program = working(f"restore:{one.id}")
    try:
        getattr(restoring(system), way)()
        assert program.wait(10), "it would stop or start a service in the middle of it"
    finally:
        program.kill()


def test_no_runbook_works_on_a_service_meanwhile(
    system: Shop, backup: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = []

    def looking(self: Production, restore: Restore) -> tuple[bool, str]:
        for target in ("cache", "database", deployment.LOCK, making.LOCK):
            with pytest.raises(Held), locked(system, target):
                pass
            held.append(target)
        return True, "well"

    monkeypatch.setattr(Production, "look", looking)
    assert restoring(system).restore("away", backup, ["config"], safety=False).state == journal.DONE
    assert len(held) == 4
    with locked(system, "cache"), locked(system, deployment.LOCK):
        pass


def test_no_backup_is_made_of_what_may_be_taken_back(
    system: Shop, backup: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be the newest one, and good: `restore newest` would bring back what was rejected."""
    known, refused = system.place("local").backups(), []

    def looking(self: Production, restore: Restore) -> tuple[bool | None, str]:
        with pytest.raises(BackupError, match="a restore is going on") as caught:
            system.backup()
        refused.append(caught.value.reason)
        return None, "nobody could look"

    monkeypatch.setattr(Production, "look", looking)
    held = restoring(system).restore("away", backup, ["config"], safety=False)
    assert (held.state, refused) == (journal.HELD, ["busy"])
    with pytest.raises(BackupError, match=rf'"{held.id}" is not at its end: it is held, .*\n.*--finish or --undo'):
        system.backup()
    told = run(system, "--status")
    made = system.runbook("backup")
    assert (made.returncode, "it is held" in made.stderr, held.id in told.stdout) == (1, True, True)
    assert system.place("local").backups() == known
    assert restoring(system).undo().state == journal.UNDONE
    assert system.backup().id not in known


def test_what_a_killed_restore_exchanged_is_not_backed_up(system: Shop, backup: Manifest) -> None:
    one = killed(system, backup.id, "exchange", 3)
    with pytest.raises(BackupError, match=rf'"{one.id}" is not at its end: it is exchanging'):
        system.backup()
    assert restoring(system).undo().state == journal.UNDONE


def test_a_backup_keeps_the_exchange_waiting_not_what_is_made_ready(system: Shop, backup: Manifest) -> None:
    production = restoring(system, "restore.stopping=1")
    with locked(system, making.LOCK), pytest.raises(RestoreError, match=r"or makes a backup: \"backup\" is locked"):
        production.restore("away", backup, ["config"], safety=False)
    assert look(system) == AFTER
    (one,) = production.journal.open()
    assert one.state == journal.EXCHANGING
    assert (restoring(system).finish().state, look(system).config) == (journal.DONE, BEFORE.config)


def test_who_lost_its_lock_renames_nothing(system: Shop, backup: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    production, managed = restoring(system), Services.managed

    def still(self: Services, service: str, action: str) -> None:
        managed(self, service, action)
        production._locks[-1]._taken = True

    monkeypatch.setattr(Services, "managed", still)
    done = production.restore("away", backup, PARTS, safety=False)
    assert (done.state, look(system)) == (journal.UNDONE, AFTER)
    assert "another run has it by now" in done.story[-1]
    assert not any("before" in name for name in left(system))


def silent(production: Production) -> None:
    """Its locks were not renewed for a lease."""
    for lock in production._locks:
        lock._renewed -= lock.lease


def history(system: Shop, statement: str) -> None:
    """Have STATEMENT done behind its back."""
    with closing(sqlite3.connect(system.folder / "var" / "history.db")) as connection, connection:
        connection.execute(statement)


def failing(
    monkeypatch: pytest.MonkeyPatch, production: Production, meanwhile: Callable[[], object] = lambda: None
) -> None:
    """The checks see that what was restored is bad, for longer than a lease, and MEANWHILE something happens."""

    def looking(self: Production, restore: Restore) -> tuple[bool, str]:
        meanwhile()
        silent(production)
        return False, "3 checks fail"

    monkeypatch.setattr(Production, "look", looking)


@contextmanager
def lost(path: Path) -> Iterator[None]:
    """The file PATH can neither be read nor written, as on a disk that is full."""
    aside = path.with_name("aside")
    path.rename(aside)
    path.mkdir()
    try:
        yield
    finally:
        path.rmdir()
        aside.rename(path)


def test_a_history_that_cannot_be_written_ends_no_way_back(
    system: Shop, backup: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody else has the lock, and on this machine the journal keeps everybody out."""
    production = restoring(system)
    with ExitStack() as stack:
        stack.callback(history, system, "DELETE FROM locks")  # this process lives on, and could not give them back
        failing(monkeypatch, production, lambda: stack.enter_context(lost(system.folder / "var" / "history.db")))
        done = production.restore("away", backup, PARTS, safety=False)
    assert (done.state, look(system)) == (journal.UNDONE, AFTER)


def test_who_cannot_ask_whether_another_machine_acts_leaves_it_to_a_person(
    system: Shop, backup: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    sql = system.database.sql
    sql("CREATE DATABASE history")
    url = system.database.uri(database="history").replace("postgresql:", "postgresql+psycopg:")
    production = restoring(system, f"history.url={url}")

    def gone() -> None:
        sql("ALTER DATABASE history ALLOW_CONNECTIONS false")
        for lock in production._locks:
            lock._refused = "it does not accept connections"

    try:
        failing(monkeypatch, production, gone)
        held = production.restore("away", backup, PARTS, safety=False)
        assert (held.state, look(system)) == (journal.HELD, BEFORE)
        assert "could not be renewed for 1 min 0 s: it does not accept connections" in held.story[-2]
        refused = restoring(system, f"history.url={url}")
        with pytest.raises(RestoreError, match=r"not currently accepting connections[\s\S]*--undo --without-history"):
            refused.undo()
        told = run(system, "--undo", "--without-history", "--yes-overwrite=Shop", f"--set=history.url={url}")
        assert (told.returncode, "the history was not asked: see which version" in told.stdout) == (0, True), told
        assert look(system) == AFTER
    finally:
        sql("DROP DATABASE history WITH (FORCE)")


def test_the_way_back_heeds_who_took_the_lock_meanwhile(
    system: Shop, backup: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    production = restoring(system)
    try:
        failing(monkeypatch, production, lambda: history(system, "UPDATE locks SET token = 'of another'"))
        held = production.restore("away", backup, PARTS, safety=False)
        assert (held.state, look(system)) == (journal.HELD, BEFORE)
        assert "it cannot be taken back now: the lock of" in "".join(held.story)
        assert "another run has it by now" in "".join(held.story)
    finally:
        history(system, "DELETE FROM locks")
    assert restoring(system).undo().state == journal.UNDONE


def test_without_the_history_only_one_takes_it_back(system: Shop, backup: Manifest) -> None:
    killed(system, backup.id, "start")
    with exclusion.here(restoring(system).journal.folder):
        with pytest.raises(RestoreError, match="another restore is going on"):
            restoring(system).undo(history=False)
        with pytest.raises(RestoreError, match="another restore is going on"):
            restoring(system).undo()
    with lost(system.folder / "var" / "history.db"):
        with pytest.raises(RestoreError, match=r"\"sqlite:.*cannot be read[\s\S]*--undo --without-history"):
            restoring(system).undo()
        assert restoring(system).undo(history=False).state == journal.UNDONE
    assert look(system) == AFTER


def test_only_who_takes_one_back_does_without_the_history(system: Shop) -> None:
    done = run(system, "--finish", "--without-history", "--yes-overwrite=Shop")
    assert (done.returncode, '"--without-history" is for --undo alone' in done.stderr) == (4, True)


def test_two_at_once_are_refused(system: Shop, backup: Manifest) -> None:
    production = restoring(system)
    with production.alone("another"), pytest.raises(RestoreError, match="another restore"):
        production.restore("away", backup, ["config"])

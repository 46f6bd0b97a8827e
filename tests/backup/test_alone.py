"""While a restore works nobody else does: no other restore, no deployment, and no runbook."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from pytest_runbook.backup import making
from pytest_runbook.backup.manifest import Manifest
from pytest_runbook.backup.restore import journal
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
    assert "stood still" in done.story[-1]
    assert not any("before" in name for name in left(system))


def test_two_at_once_are_refused(system: Shop, backup: Manifest) -> None:
    production = restoring(system)
    with production.alone("another"), pytest.raises(RestoreError, match="another restore"):
        production.restore("away", backup, ["config"])

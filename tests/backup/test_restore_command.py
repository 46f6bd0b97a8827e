"""`runbook restore`, as a person types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pytest_runbook.backup.manifest import Manifest
from pytest_runbook.backup.restore import exchange, journal
from pytest_runbook.backup.restore.journal import Restore
from pytest_runbook.backup.restore.production import PARTS, Production
from pytest_runbook.errors import RestoreError

from tests.backup.restored import AFTER, BEFORE, look, restoring, run
from tests.backup.systems import Shop
from tests.probes.databases import SECRET

pytestmark = pytest.mark.usefixtures("changed")


def test_the_command_asks_for_the_name_of_the_system(system: Shop, backup: Manifest) -> None:
    for given, said in (
        ([], "nobody can be asked for the name of the system: nothing was done"),
        (["--yes-overwrite=Other"], '"Other" is not the name of the system: nothing was done'),
    ):
        done = run(system, backup.id, "--from=away", "--into=production", *given)
        assert (done.returncode, said in done.stderr) == (4, True)
    assert look(system) == AFTER


def test_the_command_restores_and_tells(system: Shop, backup: Manifest) -> None:
    planned = run(system, backup.id, "--from=away", "--into=production", "--dry-run")
    assert (planned.returncode, "would stop cache" in planned.stdout) == (0, True)
    done = run(system, backup.id, "--from=away", "--into=production", "--yes-overwrite=Shop", "--without-safety-backup")
    assert (done.returncode, look(system)) == (0, BEFORE), done.stderr
    assert SECRET not in done.stdout + done.stderr
    status = run(system, "--status")
    assert (status.returncode, "done: database, cache, files, config" in status.stdout) == (0, True)


def test_status_says_what_is_known_of_one_that_could_not_go_back(
    system: Shop, backup: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(self: exchange.Exchange, restore: Restore) -> None:
        raise RestoreError('"restore.admin": connection refused')

    with monkeypatch.context() as patched:
        patched.setattr(exchange.Exchange, "forward", down)
        patched.setattr(exchange.Exchange, "back", down)
        production = restoring(system)
        with pytest.raises(RestoreError, match="connection refused"):
            production.restore("away", backup, ["config"], safety=False)
        (broken,) = (one for one in production.journal.all() if one.open)
        broken.process["pid"] = 2**22 + 1  # as after the end of this process
        production.journal.save(broken)
    status = run(system, "--status")
    assert "not finished, and its process is gone; it was exchanging (back)" in status.stdout
    assert 'it stopped in the middle (back): "restore.admin": connection refused' in status.stdout
    assert "killed" not in status.stdout
    assert restoring(system).undo().state == journal.UNDONE


def test_the_command_restores_into_servers_to_look_at(system: Shop, backup: Manifest) -> None:
    done = run(system, backup.id, "--from=away", text="\n")
    assert (done.returncode, "addresses and passwords: " in done.stdout) == (0, True), done.stderr
    assert look(system) == AFTER
    assert [*system.scratch.iterdir()] == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nonsense", "--into=production", "--yes-overwrite=Shop"], "is no backup"),
        (["newest", "--from=nowhere"], "unknown destination"),
        (["newest", "--only=everything"], "unknown part"),
        ([], "which backup?"),
    ],
)
def test_bad_usage_says_what_is_known(system: Shop, backup: Manifest, arguments: list[str], said: str) -> None:
    done = run(system, *arguments)
    assert done.returncode in (1, 4)
    assert said in done.stderr


def test_what_a_service_wrote_comes_into_the_journal_without_its_secrets(system: Shop, tmp_path: Path) -> None:
    production = Production(system.told(f"restore.journal={tmp_path}"), system.folder)
    restore = production.journal.begin("r1", "b1", "away", ["config"])
    production.tell(restore, f'"web" did not start\n  | connecting as {SECRET}')
    (told,) = production.journal.read("r1").story
    assert told == '"web" did not start\n  | connecting as ****'


def test_journals_say_no_secret(system: Shop, backup: Manifest) -> None:
    assert restoring(system).restore("away", backup, PARTS, safety=False).state == journal.DONE
    texts = [path.read_text() for path in restoring(system).journal.folder.glob("*/restore.json")]
    assert texts
    assert not any(SECRET in text for text in texts)
    assert all(json.loads(text)["version"] == 1 for text in texts)

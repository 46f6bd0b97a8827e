"""What is half done, killed or held, is no silence: `changes` names it with what to do, and what goes on is no fault."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pytest_runbook import Unmeasured
from pytest_runbook.backup.restore.journal import DONE, EXCHANGING, HELD, Journal
from pytest_runbook.changes import Changes
from pytest_runbook.checkrun import WITHIN
from pytest_runbook.history import Store
from pytest_runbook.process import Process
from pytest_runbook.settings import Settings

HISTORY = "sqlite:///var/history.db"


@pytest.fixture
def changes(tmp_path: Path) -> Changes:
    told: dict[str, Any] = {"system": {"name": "Shop"}, "history": {"url": HISTORY}}
    return Changes(Settings.model_validate(told), tmp_path)


def store(changes: Changes) -> Store:
    system = changes.settings.system
    return Store.open(HISTORY, system.name, system.environment, root=changes.root)


def begun(changes: Changes, run: str) -> int:
    """A deployment by RUN that has come to its switch."""
    number = store(changes).begin_deployment(run, "deploy", "1.4.3", {"web": "1.4.2"}, who="me", options={})
    store(changes).enter_phase(number, "switch")
    return number


def gone() -> Process:
    """A process that has ended."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return replace(Process.current(), pid=child.pid)


def journal(changes: Changes) -> Journal:
    return Journal(changes.root / changes.settings.restore.journal)


def test_without_any_nothing_is_half_done_and_nothing_is_made(changes: Changes) -> None:
    assert changes.half_done() == []
    assert [*changes.root.iterdir()] == []


def test_a_deployment_that_goes_on_is_no_fault_and_a_killed_one_is(changes: Changes) -> None:
    with store(changes).lock("the deployment", "r1"):
        number = begun(changes, "r1")
        assert changes.half_done() == []
    assert changes.half_done() == [
        f"the deployment {number}, of 1.4.3, is half done: its process is gone, in switch\n"
        "  hint: runbook deploy --status tells, --resume or --abort ends it"
    ]
    store(changes).end_deployment(number, "aborted", "by hand", run="r1")
    assert changes.half_done() == []


def test_a_held_deployment_waits_for_a_person_also_where_its_process_asks(changes: Changes) -> None:
    with store(changes).lock("the deployment", "r1"):
        number = begun(changes, "r1")
        store(changes).note_deployment(number, held="verify could not be judged: no figures\nmore of it")
        (told,) = changes.half_done()
    assert "of 1.4.3, is half done: it is held, verify could not be judged: no figures\n  hint: " in told


def test_a_restore_that_goes_on_is_no_fault_and_a_killed_or_held_one_is(changes: Changes) -> None:
    one = journal(changes).begin("20261126T020000Z-abcd", "20261125T020000Z", "away", ["config"])
    assert changes.half_done() == []
    one.state, one.process = EXCHANGING, {**one.process, "pid": gone().pid}
    journal(changes).save(one)
    assert changes.half_done() == [
        'the restore "20261126T020000Z-abcd", of 20261125T020000Z, is half done: it is exchanging, and its process is gone\n'
        "  hint: runbook restore --status tells, --finish or --undo ends it"
    ]
    one.process["place"] = "another container"
    journal(changes).save(one)
    assert "it is exchanging, and from here nobody can see whether its process runs" in changes.half_done()[0]
    one.state = HELD
    journal(changes).save(one)
    assert "is half done: it is held\n" in changes.half_done()[0]
    one.state = DONE
    journal(changes).save(one)
    assert changes.half_done() == []


def test_what_cannot_be_read_is_unmeasured_and_hides_nothing(changes: Changes) -> None:
    file = changes.root / "var" / "history.db"
    file.parent.mkdir()
    file.write_text("no database at all, whatever it is called")
    with pytest.raises(
        Unmeasured, match=r'whether a deployment is half done .*: history "sqlite:///.*" cannot be read'
    ):
        changes.half_done()
    one = journal(changes).begin("20261126T020000Z-abcd", "20261125T020000Z", "away", ["config"])
    one.state = HELD
    journal(changes).save(one)
    assert ["is half done: it is held" in told for told in changes.half_done()] == [True]


def test_a_journal_that_says_nothing_is_unmeasured(changes: Changes) -> None:
    one = journal(changes).begin("20261126T020000Z-abcd", "20261125T020000Z", "away", ["config"])
    file = journal(changes).path(one.id) / "restore.json"
    file.write_text("{")
    with pytest.raises(Unmeasured, match=f'"{file}" cannot be read: '):
        changes.half_done()


def test_a_run_that_is_part_of_one_does_not_ask(changes: Changes, monkeypatch: pytest.MonkeyPatch) -> None:
    begun(changes, "r1")
    monkeypatch.setenv(WITHIN, "restore")
    with pytest.raises(pytest.skip.Exception, match="this run is a part of a restore"):
        changes.half_done()

"""The log after a restore: what the disaster wrote into it is no error of what was restored, what came since is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import pytest
from pytest_runbook import clock
from pytest_runbook.backup.manifest import Manifest
from pytest_runbook.backup.restore import journal
from pytest_runbook.backup.restore.production import Production
from pytest_runbook.backup.restore.services import Services

from tests.backup.systems import Shop, managed

SETTINGS = """
[probes.logs]
kind = "logs"
paths = ["{log}"]

[facts.logs]
window = 300

[deploy]
since = ["facts.logs.window"]
"""
CHECK = """
from pytest_runbook import check

@check("postdeploy", severity="P1")
async def test_no_errors(logs, facts):
    errors = await logs.errors(since=facts.logs.window)
    assert not errors, f"the latest: {errors.records[-1].message}"
"""


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A system whose checks look into its log as well."""
    with managed(tmp_path_factory.mktemp("shop")) as made:
        with (made.folder / "shop.toml").open("a") as file:
            file.write(SETTINGS.replace("{log}", str(made.folder / "shop.log")))
        (made.folder / "checks" / "database" / "log.py").write_text(CHECK)
        yield made


@pytest.fixture
def log(system: Shop) -> Path:
    """The log of a system that was well until this moment."""
    path = system.folder / "shop.log"
    path.write_text(f"{clock.iso(clock.now())} INFO served\n")
    return path


def write(log: Path, message: str) -> None:
    with log.open("a") as file:
        file.write(f"{clock.iso(clock.now())} ERROR {message}\n")


def test_errors_of_the_disaster_do_not_take_a_restore_back(system: Shop, backup: Manifest, log: Path) -> None:
    system.database.sql("DROP TABLE purchase", "shop")
    write(log, 'Exception on / [GET]: relation "purchase" does not exist')
    done = Production(system.told(), system.folder).restore("away", backup, ["database"], safety=False)
    assert (done.state, done.story[-1]) == (journal.DONE, "3 checks looked at it, none gates")
    assert system.database.sql("SELECT count(*) FROM purchase", "shop") == [(3000,)]


def test_errors_since_the_start_do(system: Shop, backup: Manifest, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begin, ended = Services.begin, Event()

    def again_and_again() -> None:
        while not ended.wait(0.1):
            write(log, "what was restored does not fit")

    def wrongly(self: Services) -> None:
        begin(self)
        writing.start()

    writing = Thread(target=again_and_again)
    monkeypatch.setattr(Services, "begin", wrongly)
    try:
        done = Production(system.told(), system.folder).restore("away", backup, ["database"], safety=False)
    finally:
        ended.set()
        writing.join()
    assert done.state == journal.UNDONE
    assert "1 checks fail: database/log::no_errors: " in done.story[-1]
    assert "what was restored does not fit" in done.story[-1]


def test_who_accepts_a_held_one_is_told_of_its_own_errors_only(system: Shop, backup: Manifest, log: Path) -> None:
    write(log, "lost")
    unseen = system.told("restore.checks=postdeploy and there_is_no_such")
    held = Production(unseen, system.folder).restore("away", backup, ["config"], safety=False)
    assert held.state == journal.HELD
    done = Production(system.told(), system.folder).finish(held.id)
    assert (done.state, done.story[-1]) == (
        journal.DONE,
        "a person accepted it; what the checks see now: 3 checks looked at it, none gates",
    )

"""What a deployment writes down is kept until the history takes it, and only another process stops it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from threading import Timer
from uuid import uuid4

import pytest
from pytest_runbook.deploy import record
from pytest_runbook.deploy.record import Record, Superseded
from pytest_runbook.history import DeploymentRow, Lock, Store

from tests.history.actors import SYSTEM
from tests.probes.databases import PostgresServer, server_folder, until

BEFORE = {"web": "1.4.2"}


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with server_folder() as folder:
        server = PostgresServer(folder / "data", {})
        server.create()
        yield server


@dataclass
class Desk:
    """A deployment on record in SERVER, which stops and starts."""

    server: PostgresServer
    store: Store
    lock: Lock
    record: Record
    told: list[str] = field(default_factory=list)

    @property
    def row(self) -> DeploymentRow:
        return self.store.deployments(1)[0]

    @property
    def phases(self) -> list[tuple[str, str | None]]:
        return [(phase.phase, phase.outcome) for phase in self.row.phases]


@pytest.fixture
def desk(server: PostgresServer) -> Iterator[Desk]:
    server.start()
    try:
        name = f"history_{uuid4().hex[:12]}"
        server.sql(f"CREATE DATABASE {name}")
        store = Store.open(server.uri(database=name).replace("postgresql://", "postgresql+psycopg://"), *SYSTEM)
        number = store.begin_deployment("d1", "deploy", "1.4.3", BEFORE, who="m.dupont", options={})
        told: list[str] = []
        with store.lock("web", "d1", 1.0) as lock:
            yield Desk(server, store, lock, Record(store, store.deployment(number), [lock], told.append), told)
    finally:
        server.stop()


def test_a_database_that_restarts_is_waited_for(desk: Desk) -> None:
    desk.record.enter("verify")
    desk.server.stop()
    back = Timer(1.0, desk.server.start)
    back.start()
    desk.record.leave("failed", "web answers 500", 2.0)
    back.join()
    assert desk.phases == [("verify", "failed")]
    assert (desk.told, desk.record.silence) == ([], None)


def test_what_was_missing_is_on_record_as_it_was_once_the_history_answers(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "AGAIN", 0.2)
    desk.record.enter("verify")
    desk.server.stop()
    desk.record.leave("failed", "web answers 500", 2.0)
    desk.record.enter("switch-back")
    desk.record.leave("done", "web restarted", 1.0)
    assert desk.record.silence
    assert len(desk.told) == 1
    assert 'history "postgresql+psycopg://' in desk.told[0]
    assert (
        "; what is done meanwhile is written there once it answers again\n  hint: see that the server" in desk.told[0]
    )
    desk.server.start()
    desk.record.end("rolled-back", "verify failed")
    assert desk.told[1:] == ["the history answers again, and has what was missing"]
    assert desk.phases == [("verify", "failed"), ("switch-back", "done")]
    row, kept = desk.row, desk.record.row
    assert [phase.ended for phase in row.phases] == [phase.ended for phase in kept.phases]
    assert (row.outcome, row.ended, row.why) == ("rolled-back", kept.ended, "verify failed")


def test_who_cannot_write_the_end_says_how_it_comes_on_record(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "AGAIN", 0.2)
    desk.server.stop()
    desk.record.end("deployed", "42 checks passed")
    assert f"does not have that the deployment {desk.record.row.id} has ended" in desk.told[-1]
    assert "hint: runbook deploy --resume ends it there as well" in desk.told[-1]
    assert (desk.record.row.outcome, desk.record.row.ended is None) == ("deployed", False)


def test_a_lock_that_nobody_could_renew_is_ours_until_somebody_takes_it(desk: Desk) -> None:
    desk.server.stop()
    until(lambda: desk.lock.lost)
    desk.record.hold()
    assert desk.record.silence
    desk.server.start()
    desk.record.hold()
    desk.store.give_back(desk.lock)
    with pytest.raises(Superseded, match='the lock of "web" was lost, and another process may act by now: '):
        desk.record.enter("switch")
    assert desk.phases == []


def test_what_was_written_without_an_answer_is_not_written_twice(desk: Desk) -> None:
    started = desk.record.row.started
    number = desk.store.enter_phase(desk.record.row.id, "switch", started)
    assert desk.store.enter_phase(desk.record.row.id, "switch", started) == number
    assert desk.store.enter_phase(desk.record.row.id, "switch") != number
    told = {"run": "d1", "ended": started}
    assert desk.store.end_deployment(desk.record.row.id, "deployed", "verified", **told)  # type: ignore[arg-type]
    assert desk.store.end_deployment(desk.record.row.id, "deployed", "verified", **told)  # type: ignore[arg-type]
    assert not desk.store.end_deployment(desk.record.row.id, "deployed", "verified", run="d1")

"""Deployments are kept phase by phase, and a history of before there were any learns to keep them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from pytest_runbook import clock
from pytest_runbook.errors import UsageError
from pytest_runbook.history import Store
from pytest_runbook.history.schema import deployments, locks, metadata, phases, versions
from pytest_runbook.process import Process
from sqlalchemy import NullPool, create_engine, insert, text, update

from tests.history.actors import actors_of, open_store, race

BEFORE = {"web": "1.4.2", "ml": "1.4.2"}


def begun(store: Store, version: str = "1.4.3") -> int:
    return store.begin_deployment("d1", "deploy", version, BEFORE, who="m.dupont", options={"soak": 0})


def old_history(url: str) -> None:
    """What the software of version 1 left."""
    with create_engine(url, poolclass=NullPool).begin() as connection:
        metadata.create_all(connection, [t for t in metadata.sorted_tables if t not in (deployments, phases)])
        connection.execute(text("ALTER TABLE intents DROP COLUMN touched"))
        connection.execute(insert(versions).values(version=1, made=clock.now()))


def test_what_is_known_of_a_deployment_comes_back(store: Store) -> None:
    number = begun(store)
    phase = store.enter_phase(number, "gate")
    store.leave_phase(phase, "done", "42 checks passed", 1.5)
    store.note_deployment(number, backup="20261123T010203Z", baseline={"figures": {"web.response_time.p95": 0.02}})
    row = store.deployment(number)
    assert (row.kind, row.version, row.services, row.before) == ("deploy", "1.4.3", ("web", "ml"), BEFORE)
    assert (row.who, row.options, row.backup) == ("m.dupont", {"soak": 0}, "20261123T010203Z")
    assert row.baseline == {"figures": {"web.response_time.p95": 0.02}}
    assert [(p.phase, p.outcome, p.said, p.duration) for p in row.phases] == [("gate", "done", "42 checks passed", 1.5)]
    assert (row.ended, row.outcome, row.open_phase) == (None, None, None)


def test_next_one_waits_for_the_end_of_the_one_before(store: Store) -> None:
    number = begun(store)
    with pytest.raises(UsageError, match=r"the deployment \d+, of 1.4.3, is not at its end"):
        begun(store, "1.4.4")
    assert not store.end_deployment(number, "deployed", "verified", run="d0"), "who was taken over ends nothing"
    assert store.end_deployment(number, "deployed", "verified", run="d1")
    assert not store.end_deployment(number, "aborted", "too late", run="d1")
    begun(store, "1.4.4")
    assert [(row.version, row.outcome) for row in store.deployments()] == [("1.4.4", None), ("1.4.3", "deployed")]


def test_who_takes_over_closes_the_phase_that_was_cut_short(store: Store) -> None:
    number = begun(store)
    store.enter_phase(number, "switch")
    store.note_deployment(number, held="nobody could look")
    seen = store.unfinished_deployment()
    assert seen and seen.open_phase and (seen.open_phase.phase, seen.held) == ("switch", "nobody could look")
    store.take_deployment(number, "d2")
    row = store.deployment(number)
    assert (row.run, row.held, row.open_phase) == ("d2", None, None)
    assert [(phase.phase, phase.outcome) for phase in row.phases] == [("switch", "unknown")]


def test_process_of_another_boot_lives_as_long_as_its_lease(url: str) -> None:
    elsewhere = replace(Process.current(), place="another boot of this machine")
    number = begun(Store.open(url, "Shop", "production", process=elsewhere))
    store = Store.open(url, "Shop", "production")
    assert store.life(number) == "gone", "who holds no lock does not act"
    with Store.open(url, "Shop", "production", process=elsewhere).lock("the deployment", "d1"):
        assert store.life(number) == "lives"
        quiet = {"renewed": clock.now() - timedelta(hours=3), "lease": 1.0}
        with create_engine(url, poolclass=NullPool).begin() as connection:
            connection.execute(update(locks).values(**quiet))
        assert store.life(number) == "silent"
        told: list[str] = []
        store.lock("the deployment", "d2", tell=told.append).release()
        assert len(told) == 1
        assert told[0].startswith('waits 500 ms for "the deployment": since 20')
        assert 'nothing was heard of the run "d1"' in told[0]


def test_histories_of_other_systems_are_not_in_the_way(url: str) -> None:
    begun(Store.open(url, "Shop", "staging"))
    other = Store.open(url, "Shop", "production")
    assert other.unfinished_deployment() is None
    assert other.deployments() == []


def test_history_of_version_1_is_brought_up_to_date_and_keeps_what_it_has(url: str) -> None:
    old_history(url)
    store = open_store(url)
    store.begin_run("r1")
    store.begin_attempt("r1", "cache-down", "cache", [])
    begun(store)
    assert [row.runbook for row in open_store(url).rows()] == ["cache-down"]


def test_processes_that_find_an_old_history_together_bring_it_up_to_date_once(url: str) -> None:
    old_history(url)
    with actors_of(url) as actors:
        assert race(actors(6, opened=False), "rows") == [[]] * 6

"""What a dead run left open is closed as unknown: once, told to one, and never what a live run still does."""

from __future__ import annotations

import time
from typing import Any

import pytest
from pytest_runbook.history import Store
from pytest_runbook.history.runs import PRESUMED_DEAD

from tests.history.actors import Actor, Actors, open_store, race

DEAD = PRESUMED_DEAD.total_seconds()


def leave_open(actor: Actor, run: str, steps: int = 1) -> list[int]:
    """Begin RUN and an attempt with STEPS that were started and one that was not."""
    actor.do("begin_run", run)
    attempt = actor.do("begin_attempt", run, "database-down", "database", ["database/availability::answers"])
    intents = [actor.do("intend", attempt, f"step {n}", "restart", "database", ["restart"]) for n in range(steps + 1)]
    for intent in intents[:-1]:
        assert actor.do("start", intent)
    return intents


def test_intents_of_a_killed_run_are_closed_once(store: Store, actors: Actors) -> None:
    actor = actors.one()
    started, planned = leave_open(actor, "killed")
    actor.kill()
    closed = store.close_unknown()
    assert [(step.id, step.run, step.outcome) for step in closed] == [
        (started, "killed", "unknown"),
        (planned, "killed", "unknown"),
    ]
    assert closed[0].started and "whether it took effect is not known" in (closed[0].output or "")
    assert closed[1].started is None and "before this step began" in (closed[1].output or "")
    assert store.close_unknown() == []
    assert [attempt.outcome for attempt in store.rows()] == ["unknown"]


def test_closed_intent_is_never_started(store: Store, actors: Actors) -> None:
    actor = actors.one()
    intents = leave_open(actor, "killed")
    actor.kill()
    store.close_unknown()
    assert not any(store.start(intent) for intent in intents)


def test_each_row_is_told_to_one_of_the_processes_that_close(actors: Actors) -> None:
    closers = actors(2)
    for number in range(5):
        victim = actors.one()
        intents = leave_open(victim, f"killed {number}", steps=15)
        victim.kill()
        told = [step.id for answer in race(closers, "close_unknown") for step in answer]
        assert sorted(told) == intents


def test_what_a_live_run_does_is_left_alone(store: Store, actors: Actors) -> None:
    near, far = actors.one(), actors.one(far=True)
    leave_open(near, "near")
    leave_open(far, "far")
    store.begin_attempt("r1", "database-down", "database", [])
    assert store.close_unknown() == []
    assert [attempt.outcome for attempt in store.rows()] == [None, None, None]


def test_run_that_ended_leaves_nothing_open(store: Store) -> None:
    """Its process may live on, in another run."""
    attempt = store.begin_attempt("r1", "database-down", "database", [])
    intent = store.intend(attempt, "restart", "restart", "database", [])
    store.start(intent)
    store.end_run("r1", 1)
    assert [step.id for step in store.close_unknown()] == [intent]


@pytest.mark.parametrize(("later", "closed"), [(DEAD * 0.5, 0), (DEAD * 1.5, 2), (-DEAD * 1.5, 2)])
def test_silent_run_elsewhere_is_presumed_dead_after_a_while(
    actors: Actors, url: str, later: float, closed: int
) -> None:
    """Also when its clock was ahead: it would live for ever."""
    actor = actors.one(far=True)
    leave_open(actor, "far")
    assert len(open_store(url, skew=later).close_unknown()) == closed


def test_heartbeat_keeps_a_run_elsewhere_alive(actors: Actors, url: str) -> None:
    actor, late = actors.one(far=True), actors.one(far=True, skew=DEAD)
    leave_open(actor, "far")
    late.do("heartbeat", "far")
    assert open_store(url, skew=DEAD * 1.5).close_unknown() == []


def test_result_that_comes_after_all_replaces_unknown(actors: Actors, store: Store, url: str) -> None:
    actor = actors.one(far=True)
    started, _ = leave_open(actor, "far")
    assert len(open_store(url, skew=DEAD * 2).close_unknown()) == 2
    assert actor.do("finish", started, "done", "it took a while", 200.0)
    (attempt,) = store.rows()
    assert actor.do("end_attempt", attempt.id, "remediated")
    (attempt,) = store.rows()
    assert (attempt.outcome, attempt.steps[0].outcome) == ("remediated", "done")
    assert not actor.do("finish", started, "failed")
    assert not actor.do("end_attempt", attempt.id, "worse")


def test_other_systems_close_their_own(actors: Actors, url: str) -> None:
    actor = actors.one()
    leave_open(actor, "killed")
    actor.kill()
    assert Store.open(url, "shop", "staging").close_unknown() == []
    assert len(Store.open(url, "shop", "production").close_unknown()) == 2


def test_killed_at_any_point_the_history_goes_on(actors: Actors, store: Store, url: str) -> None:
    """No lock stays, nothing stays open, and the file is sound."""
    unknown: list[Any] = []
    for number in range(25):
        actor = actors.one()
        actor.tell("work")
        time.sleep(0.005 + number * 0.011)
        actor.kill()
        unknown += store.close_unknown()
        store.lock("database", "r1").release()
        assert all(attempt.outcome and all(step.outcome for step in attempt.steps) for attempt in store.rows())
    assert unknown, "no kill ever came between an intent and its result"
    assert len({step.id for step in unknown}) == len(unknown)
    check_sound(url)


def check_sound(url: str) -> None:
    """What SQLite says about its own file; PostgreSQL looks after itself."""
    if url.startswith("sqlite"):
        import sqlite3

        connection = sqlite3.connect(url.removeprefix("sqlite:///"))
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        connection.close()

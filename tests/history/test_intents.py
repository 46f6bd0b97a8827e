"""What a step is about to do stands in the history first, and only one process ever may do it."""

from __future__ import annotations

import pytest
from pytest_runbook.history import StepRow, Store

from tests.history.actors import Actors, race


@pytest.fixture
def attempt(store: Store) -> int:
    return store.begin_attempt("r1", "database-down", "database", ["database/availability::answers"])


def intend(store: Store, attempt: int) -> int:
    return store.intend(attempt, "restart", "restart", "database", ["supervisorctl restart database", "wait 5 s"])


def only_step(store: Store) -> StepRow:
    ((step,),) = (attempt.steps for attempt in store.rows())
    return step


def test_one_of_twenty_racing_processes_starts_an_intent(store: Store, attempt: int, actors: Actors) -> None:
    processes = actors(20)
    for _ in range(3):
        answers = race(processes, "start", intend(store, attempt))
        assert sorted(answers) == [False] * 19 + [True]


def test_intent_stands_there_before_its_step_ran(store: Store, attempt: int) -> None:
    intent = intend(store, attempt)
    step = only_step(store)
    assert (step.id, step.attempt, step.run) == (intent, attempt, "r1")
    assert (step.runbook, step.service, step.step, step.risk) == ("database-down", "database", "restart", "restart")
    assert (step.target, step.preview) == ("database", ("supervisorctl restart database", "wait 5 s"))
    assert (step.started, step.ended, step.outcome, step.output, step.duration) == (None, None, None, None, None)


def test_services_that_a_step_touches_stand_there(store: Store, attempt: int) -> None:
    intend(store, attempt)
    assert only_step(store).touched == ()
    store.intend(store.begin_attempt("r1", "x", "web", []), "restart", "restart", "db", [], ["cache", "web"])
    assert store.rows()[0].steps[0].touched == ("cache", "web")


def test_result_stands_beside_the_intent(store: Store, attempt: int) -> None:
    intent = intend(store, attempt)
    assert store.start(intent)
    assert store.finish(intent, "done", "restarted", 1.25)
    step = only_step(store)
    assert step.started and step.ended and step.planned <= step.started <= step.ended
    assert (step.outcome, step.output, step.duration) == ("done", "restarted", 1.25)


def test_intent_starts_once_and_ends_once(store: Store, attempt: int) -> None:
    intent = intend(store, attempt)
    assert [store.start(intent), store.start(intent)] == [True, False]
    assert [store.finish(intent, "done"), store.finish(intent, "failed")] == [True, False]
    assert not store.start(intent)
    assert only_step(store).outcome == "done"


def test_refused_intent_never_starts(store: Store, attempt: int) -> None:
    intent = intend(store, attempt)
    assert store.finish(intent, "refused", "in a maintenance window")
    assert not store.start(intent)
    assert only_step(store).started is None


def test_intent_that_does_not_exist_cannot_start(store: Store) -> None:
    assert not store.start(4711)
    assert not store.finish(4711, "done")


@pytest.mark.parametrize(
    ("output", "kept"),
    [
        ("nul \0 inside", "nul \ufffd inside"),
        ("half a \ud83d pair", "half a ? pair"),
        ("\udcff\udcfe bytes", "?? bytes"),
        ("naïve ✓ 🙂", "naïve ✓ 🙂"),
        ("x" * 1_000_000, "x" * 1_000_000),
    ],
    ids=["nul", "surrogate", "bytes", "characters", "long"],
)
def test_output_of_any_kind_is_kept(store: Store, attempt: int, output: str, kept: str) -> None:
    """Databases refuse NUL and lone surrogates, which commands print and Python reads."""
    intent = store.intend(attempt, "look", "observe", output, [output])
    assert store.finish(intent, "done", output)
    step = only_step(store)
    assert (step.output, step.target, step.preview) == (kept, kept, (kept,))

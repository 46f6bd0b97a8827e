"""How often a runbook was tried: what counts, what a verified fix resets, and what `runbook history` shows."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pytest_runbook import clock
from pytest_runbook.history import AttemptOutcome, Store
from pytest_runbook.history.attempts import Broken

from tests.history.actors import SYSTEM, Actors, ahead, race

DAY = timedelta(days=1)


def tried(
    store: Store,
    outcome: AttemptOutcome | None,
    runbook: str = "database-down",
    service: str = "database",
    run: str = "r1",
) -> int:
    attempt = store.begin_attempt(run, runbook, service, [f"{service}/availability::answers"])
    if outcome:
        assert store.end_attempt(attempt, outcome)
    return attempt


def counted(store: Store, runbook: str = "database-down", service: str = "database") -> list[int]:
    return [attempt.id for attempt in store.attempts(runbook, service, clock.now() - DAY)]


def unverified(store: Store) -> int:
    return store.unverified(clock.now() - DAY)


def test_attempts_without_a_verified_fix_count(store: Store) -> None:
    made = [tried(store, outcome) for outcome in ("still-failing", "worse", "unknown", None)]
    assert counted(store) == made
    assert unverified(store) == 4


def test_verified_fix_resets_the_counters_of_its_runbook_and_service(store: Store) -> None:
    tried(store, "still-failing")
    tried(store, "worse", "database-slow")
    tried(store, "still-failing", service="standby")
    tried(store, "remediated")
    assert counted(store) == []
    assert len(counted(store, "database-slow")) == len(counted(store, service="standby")) == 1
    assert unverified(store) == 2
    later = tried(store, "still-failing")
    assert counted(store) == [later]
    assert unverified(store) == 3


def test_verified_fixes_are_counted_by_themselves(store: Store) -> None:
    for outcome in ("remediated", "still-failing", "remediated"):
        tried(store, outcome)
    tried(store, "remediated", service="standby")
    since = clock.now() - DAY
    assert store.fixes("database-down", "database", since) == 2
    assert store.fixes("database-down", "database", clock.now() + DAY) == 0


def test_attempt_that_was_refused_before_it_changed_anything_does_not_count(store: Store) -> None:
    """Counted, a refusal for too many attempts would be refused for ever."""
    harmless = tried(store, None)
    assert store.start(store.intend(harmless, "look", "observe", "database", []))
    store.finish(store.intend(harmless, "restart", "restart", "database", []), "refused")
    store.end_attempt(harmless, "refused")
    assert counted(store) == []
    half = tried(store, None)
    store.start(store.intend(half, "vacuum", "routine", "database", []))
    store.end_attempt(half, "refused")
    assert counted(store) == [half]
    assert unverified(store) == 1


def touch(store: Store, runbook: str, service: str, *touched: str) -> int:
    attempt = tried(store, None, runbook, service)
    assert store.start(store.intend(attempt, "restart", "restart", service, [], touched))
    return attempt


def touching(store: Store, service: str, but: int | None = None) -> list[str]:
    return [step.runbook for step in store.touches(service, clock.now() - DAY, but=but)]


def test_what_touched_a_service_counts_for_it_whichever_runbook_it_was(store: Store) -> None:
    touch(store, "disk-full", "host", "web", "cache")
    last = touch(store, "web-slow", "web", "web")
    store.intend(last, "again", "restart", "cache", [], ["cache"])  # it never ran
    touch(store, "web-errors", "web")
    assert touching(store, "web") == ["disk-full", "web-slow"]
    assert touching(store, "web", but=last) == ["disk-full"]
    assert touching(store, "cache") == ["disk-full"]
    assert touching(store, "host") == []
    assert store.touches("web", clock.now() + DAY) == []


def test_verified_fix_forgets_what_its_runbook_touched(store: Store) -> None:
    touch(store, "web-slow", "web", "web")
    touch(store, "disk-full", "host", "web")
    store.end_attempt(touch(store, "web-slow", "web", "web"), "remediated")
    assert touching(store, "web") == ["disk-full"]


def test_old_attempts_do_not_count(store: Store, url: str) -> None:
    old = Store.open(url, *SYSTEM, now=ahead(-2 * 86400))
    tried(old, "still-failing")
    new = tried(store, "still-failing")
    assert counted(store) == [new]
    assert unverified(store) == 1
    assert len(store.attempts("database-down", "database", clock.now() - 3 * DAY)) == 2


def test_runs_at_once_do_not_overshoot_the_breaker(store: Store, actors: Actors) -> None:
    for service in ("web", "ml"):
        tried(store, "still-failing", service=service)
    others = actors(5)
    begun = race(others, "begin_attempt", "r1", "database-down", "database", [], (clock.now() - DAY, 4))
    assert [type(one) for one in sorted(begun, key=str)] == [int] * 2 + [Broken] * 3
    assert "the breaker is open: 4 tries within an hour did not help, or are not at their end" in map(str, begun)
    assert unverified(store) == 4


def test_attempts_of_other_systems_and_environments_do_not_count(store: Store, url: str) -> None:
    for run, scope in (("s", ("shop", "staging")), ("d", ("depot", "production"))):
        other = Store.open(url, *scope)
        other.begin_run(run)
        tried(other, "remediated", run=run)
        tried(other, "still-failing", run=run)
    mine = tried(store, "still-failing")
    assert counted(store) == [mine]
    assert unverified(store) == 1
    assert [attempt.id for attempt in store.rows()] == [mine]


def test_attempt_ends_once(store: Store) -> None:
    attempt = tried(store, "still-failing")
    assert not store.end_attempt(attempt, "remediated")
    assert not store.end_attempt(4711, "remediated")
    assert [row.outcome for row in store.rows()] == ["still-failing"]


def test_rows_are_attempts_with_their_steps_newest_first(store: Store) -> None:
    before = clock.now()
    first, second = tried(store, "still-failing"), tried(store, "remediated", "cache-down", "cache")
    for name in ("look", "restart"):
        store.intend(second, name, "restart", "cache", [name])
    rows = store.rows()
    assert [row.id for row in rows] == [second, first]
    assert [step.step for step in rows[0].steps] == ["look", "restart"]
    assert rows[1].steps == ()
    assert (rows[0].run, rows[0].runbook, rows[0].service) == ("r1", "cache-down", "cache")
    assert (rows[0].checks, rows[0].outcome) == (("cache/availability::answers",), "remediated")
    assert rows[0].ended and before <= rows[0].started <= rows[0].ended <= clock.now()
    assert str(rows[0].started.tzinfo) == "UTC"


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"runbook": "cache-down"}, 1),
        ({"service": "database"}, 2),
        ({"runbook": "cache-down", "service": "database"}, 0),
        ({"limit": 2}, 2),
        ({}, 3),
    ],
)
def test_rows_are_filtered(store: Store, wanted: dict[str, str | int], found: int) -> None:
    tried(store, "still-failing")
    tried(store, "still-failing")
    tried(store, "remediated", "cache-down", "cache")
    assert len(store.rows(**wanted)) == found  # type: ignore[arg-type]

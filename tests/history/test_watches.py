"""A check that was fixed is watched for a time: did the fix hold?"""

from __future__ import annotations

from datetime import timedelta

from pytest_runbook import clock
from pytest_runbook.history import Store

from tests.history.actors import Actors, open_store, race

CHECK = "database/availability::answers"
HOUR = timedelta(hours=1)


def test_fixed_check_is_watched_until_its_window_passes(store: Store) -> None:
    until = clock.now() + HOUR
    store.watch(CHECK, "database-down", until)
    watch = store.watched(CHECK)
    assert watch
    assert (watch.check, watch.runbook, watch.until) == (CHECK, "database-down", until)
    assert (watch.recurred, watch.recurrences) == (None, 0)
    assert store.watched(CHECK, until - timedelta(seconds=1))
    assert store.watched(CHECK, until) is None
    assert store.watched("cache/availability::answers") is None


def test_recurrence_is_noted_once(store: Store) -> None:
    store.watch(CHECK, "database-down", clock.now() + HOUR)
    assert [store.recurred(CHECK), store.recurred(CHECK)] == [True, False]
    watch = store.watched(CHECK)
    assert watch and watch.recurred and watch.recurrences == 1


def test_recurrences_add_up_over_fixes(store: Store) -> None:
    for _ in range(3):
        store.watch(CHECK, "database-down", clock.now() + HOUR)
        assert store.recurred(CHECK)
    store.watch(CHECK, "database-slow", clock.now() + HOUR)
    watch = store.watched(CHECK)
    assert watch and (watch.runbook, watch.recurred, watch.recurrences) == ("database-slow", None, 3)
    assert store.recurrences(CHECK, clock.now() - HOUR) == 3
    assert store.recurrences(CHECK, clock.now() + HOUR) == 0


def test_failure_after_the_window_is_no_recurrence(store: Store, url: str) -> None:
    store.watch(CHECK, "database-down", clock.now() + HOUR)
    late = open_store(url, skew=2 * 3600)
    assert not late.recurred(CHECK)
    assert store.recurrences(CHECK) == 0


def test_watch_from_a_clock_that_was_ahead_does_not_last(store: Store, url: str) -> None:
    ahead = open_store(url, skew=365 * 86400)
    ahead.watch(CHECK, "database-down", clock.now() + 366 * 24 * HOUR)
    assert store.watched(CHECK) is None


def test_other_systems_watch_their_own(store: Store, url: str) -> None:
    Store.open(url, "shop", "staging").watch(CHECK, "database-down", clock.now() + HOUR)
    assert store.watched(CHECK) is None
    assert not store.recurred(CHECK)


def test_one_of_several_processes_notes_a_recurrence(store: Store, actors: Actors) -> None:
    store.watch(CHECK, "database-down", clock.now() + HOUR)
    assert sorted(race(actors(4), "recurred", CHECK)) == [False, False, False, True]
    assert store.recurrences(CHECK) == 1

"""One fix at a time on one target: races, killed, stopped and far holders, clocks that jump, databases that go away."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from pytest_runbook import clock
from pytest_runbook.history import Held, Lock, Store
from pytest_runbook.process import Process
from sqlalchemy import NullPool, create_engine, text

from tests.history.actors import Actors, open_store, race
from tests.history.conftest import postgresql_url
from tests.probes.databases import PostgresServer

LEASE = 0.6
LIVELY = 2.0
"""A lease that a live holder renews even where the machine is busy."""
LONG = 60.0
YEAR = 365 * 86400.0


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < seconds


def until_taken(store: Store, seconds: float = 20.0) -> Lock:
    """The lock that STORE gets in the end."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            return store.lock("database", "r1", LONG)
        except Held:
            time.sleep(0.02)
    raise AssertionError("the lock was never given")


def wait_for(look: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_one_of_two_racing_processes_gets_the_lock(actors: Actors) -> None:
    pair = actors(2)
    for _ in range(10):
        answers = race(pair, "lock", "database", "r1", LONG)
        assert [type(answer) for answer in answers if answer is not True] == [Held]
        pair[answers.index(True)].do("release", "database")


def test_one_of_many_takers_of_a_dead_holders_lock_gets_it(actors: Actors) -> None:
    holder, *takers = actors(8)
    holder.do("lock", "database", "r1", LONG)
    holder.kill()
    answers = race(takers, "lock", "database", "r1", LONG)
    assert answers.count(True) == 1
    assert sum(isinstance(answer, Held) for answer in answers) == 6


def test_held_lock_says_who_has_it_since_when(store: Store) -> None:
    before = clock.now()
    with store.lock("database", "r1"), pytest.raises(Held) as caught:
        store.lock("database", "r2")
    held, mine = caught.value, Process.current()
    assert (held.target, held.run, held.host, held.pid) == ("database", "r1", mine.host, mine.pid)
    assert before <= held.since <= clock.now()
    assert str(held).startswith(f'"database" is locked by the run "r1" (process {mine.pid} on {mine.host}) since 20')
    assert "hint: wait" in str(held)


def test_lock_is_free_again_after_an_error_inside(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.lock("database", "r1"):
        _ = 1 / 0
    with store.lock("database", "r1") as lock:
        assert not lock.lost


def test_other_targets_systems_and_environments_have_their_own_locks(store: Store, url: str) -> None:
    staging = Store.open(url, "shop", "staging")
    depot = Store.open(url, "depot", "production")
    with store.lock("database", "r1"), store.lock("cache", "r1"), staging.lock("database", "s"):
        assert not depot.lock("database", "d").lost


def test_lock_of_a_killed_process_is_given_at_once(store: Store, actors: Actors) -> None:
    holder = actors.one()
    holder.do("lock", "database", "r1", LONG)
    with pytest.raises(Held):
        store.lock("database", "r1")
    holder.kill()
    with at_most(10.0):
        store.lock("database", "r1").release()


def test_lock_of_a_recycled_process_number_is_given_at_once(store: Store, url: str) -> None:
    mine = Process.current()
    Store.open(url, "shop", "production", process=replace(mine, started=mine.started - 1)).lock("database", "r0", LONG)
    with at_most(10.0):
        store.lock("database", "r1").release()


@pytest.mark.parametrize("boot", ["another boot of this machine", "a container on this machine"])
def test_process_number_of_another_place_says_nothing(store: Store, url: str, boot: str) -> None:
    mine = Process.current()
    elsewhere = replace(mine, place=boot, started=mine.started - 1)
    with Store.open(url, "shop", "production", process=elsewhere).lock("database", "r0", LONG), pytest.raises(Held):
        store.lock("database", "r1")


def test_lock_of_a_dead_process_elsewhere_is_given_after_its_lease(store: Store, actors: Actors) -> None:
    holder = actors.one(far=True)
    holder.do("lock", "database", "r1", LIVELY)
    holder.kill()
    with pytest.raises(Held):
        store.lock("database", "r1", LONG)
    lock = until_taken(store)
    assert not lock.lost
    lock.release()


def test_live_holder_elsewhere_keeps_its_lock_for_many_leases(store: Store, actors: Actors) -> None:
    holder = actors.one(far=True)
    holder.do("lock", "database", "r1", LIVELY)
    for _ in range(10):
        with pytest.raises(Held):
            store.lock("database", "r1", LEASE)
        time.sleep(LIVELY / 5)
    assert not holder.do("lost", "database")


def test_process_that_was_stopped_for_its_lease_has_lost_the_lock(store: Store, actors: Actors) -> None:
    holder, third = actors(2)
    holder.do("lock", "database", "r1", LIVELY)
    intent = store.intend(store.begin_attempt("r1", "database-down", "database", []), "restart", "restart", "db", [])
    holder.signal(signal.SIGSTOP)
    with pytest.raises(Held):
        store.lock("database", "r1", LONG)
    lock = until_taken(store)
    holder.signal(signal.SIGCONT)
    assert holder.do("lost", "database")
    assert not holder.do("start_under", "database", intent)
    holder.do("release", "database")
    with pytest.raises(Held):
        third.do("lock", "database", "r1", LONG)
    assert not lock.lost
    assert store.start(intent, lock)
    lock.release()


def test_stopped_process_knows_by_itself_that_its_lease_is_over(actors: Actors) -> None:
    holder = actors.one()
    holder.do("lock", "database", "r1", LEASE)
    holder.signal(signal.SIGSTOP)
    time.sleep(LEASE * 1.2)
    holder.signal(signal.SIGCONT)
    assert holder.do("lost", "database")
    assert holder.do("why", "database") == "this process stood still for too long"
    time.sleep(LEASE)
    assert holder.do("lost", "database"), "nobody took it, yet somebody might have"


def test_process_whose_machine_was_suspended_knows_that_its_lease_is_over(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other machines went on; the clock for durations stood still."""
    lock, boottime = store.lock("database", "r1", LONG), clock.boottime
    monkeypatch.setattr(clock, "boottime", lambda: boottime() + LONG)
    assert (lock.lost, lock.why) == (True, "this process stood still for too long")
    lock.release()


def test_intent_is_not_started_under_a_lock_that_another_took(store: Store, url: str) -> None:
    """What the holder believes does not count: the database is asked."""
    lock = store.lock("database", "r1", LONG)
    intent = store.intend(store.begin_attempt("r1", "database-down", "database", []), "restart", "restart", "db", [])
    with create_engine(url, poolclass=NullPool).begin() as connection:
        connection.execute(text("UPDATE locks SET token = 'of another'"))
    assert not lock.lost
    assert (lock.taken(), lock.lost, lock.why) == (True, True, "another run has it by now")
    assert not store.start(intent, lock)
    assert store.start(intent)


@pytest.mark.parametrize("skew", [YEAR, -YEAR])
def test_live_holder_is_not_robbed_when_clocks_differ(store: Store, actors: Actors, skew: float) -> None:
    holder = actors.one(far=True, skew=skew)
    holder.do("lock", "database", "r1", LIVELY)
    for _ in range(2):
        with pytest.raises(Held):
            store.lock("database", "r1", LEASE)
    assert not holder.do("lost", "database")


@pytest.mark.parametrize("skew", [YEAR, LEASE * 0.9, -YEAR])
def test_lock_is_not_immortal_when_a_clock_jumped(store: Store, actors: Actors, skew: float) -> None:
    holder = actors.one(far=True, skew=skew)
    holder.do("lock", "database", "r1", LEASE)
    holder.kill()
    until_taken(store).release()


@contextmanager
def busy(url: str) -> Iterator[None]:
    """Let no one else write to the locks."""
    with create_engine(url, poolclass=NullPool).connect() as connection:
        how = "BEGIN IMMEDIATE" if url.startswith("sqlite") else "LOCK TABLE locks IN ACCESS EXCLUSIVE MODE"
        connection.exec_driver_sql(how)
        yield
        connection.rollback()


def test_holder_that_cannot_renew_has_lost_the_lock_after_its_lease(store: Store, url: str) -> None:
    lock = store.lock("database", "r1", LEASE)
    with busy(url):
        time.sleep(LEASE * 1.1)
        assert lock.lost
        assert lock.why == "it could not be renewed for 600 ms: the history does not answer"
    time.sleep(LEASE * 0.5)
    assert lock.lost
    assert not lock.taken(), "nobody took it, and that can be asked"


def test_lock_outlives_a_restart_of_its_database(server: PostgresServer) -> None:
    store = open_store(postgresql_url(server))
    store.begin_run("r1")
    with store.lock("database", "r1", 8.0) as lock:
        server.stop()
        time.sleep(2.0)
        server.start()
        with pytest.raises(Held):
            store.lock("database", "r1")
        time.sleep(2.0)
        assert not lock.lost
    store.lock("database", "r1").release()


def test_release_without_a_database_waits_for_the_lease(server: PostgresServer) -> None:
    store = open_store(postgresql_url(server))
    lock = store.lock("database", "r1", LEASE)
    server.stop()
    lock.release()
    server.start()
    until_taken(store).release()


def test_renewal_is_a_sign_of_life_of_the_run(actors: Actors, url: str, store: Store, tmp_path: Path) -> None:
    holder = actors.one(far=True)
    holder.do("begin_run", "far-run")
    holder.do("lock", "database", "far-run", LEASE)

    def seen() -> object:
        with create_engine(url, poolclass=NullPool).connect() as connection:
            return connection.execute(text("SELECT seen FROM runs WHERE id = 'far-run'")).scalar_one()

    first = seen()
    wait_for(lambda: seen() != first)

"""The runbooks of the database on real servers: whom they end, what they drop, and what they must leave alone."""

from __future__ import annotations

import re
import time
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from pytest_runbook.model import Outcome

from lab.rounds import run_checks
from tests.probes.databases import (
    SECRET,
    PostgresServer,
    black_hole,
    free_port,
    until,
)
from tests.remediation.acting import Acting
from tests.remediation.sessions import BACKUP, acting, pair, sessions, working

SLOW = "database/performance::query_time_p95"
WAITING = "database/performance::nobody_waits_for_a_lock"
FORGOTTEN = "database/performance::no_forgotten_transaction"


@pytest.mark.parametrize("runbook", ["database-slow", "database-connections"])
def test_only_forgotten_transactions_are_ended(primary: PostgresServer, runbook: str) -> None:
    names = ("app", "aborted", "pg_dumper", "pg_dump", "pg_basebackup", "pytest-runbook", BACKUP, "idle", "young")
    followers = primary.sql("SELECT pid FROM pg_stat_replication")
    with sessions(primary, *names) as made, working(primary, "SELECT pg_sleep(60)") as busy:
        for session in made[:7]:
            session.run("BEGIN")
        with pytest.raises(psycopg.Error):
            made[1].run("no statement at all")
        time.sleep(1.2)
        made[8].run("BEGIN")
        book = acting(primary, runbook, limits__database__idle_in_transaction_age=1)
        assert book.needed("end_forgotten")
        book.do("end_forgotten")
        assert [session.alive for session in made] == [False, False, False, *[True] * 6]
        assert not book.needed("end_forgotten")
        assert busy.is_alive(), "who works long is left alone"
    assert primary.sql("SELECT pid FROM pg_stat_replication") == followers, "the standby is left alone"


def test_a_backup_that_takes_hours_is_nobody_s_forgotten_transaction(primary: PostgresServer, tmp_path: Path) -> None:
    told = {
        "PROBES__DATABASE__URI": primary.uri(database="shop"),
        "LIMITS__DATABASE__TRANSACTION_AGE": "1",
        "LIMITS__DATABASE__IDLE_IN_TRANSACTION_AGE": "1",
        "FACTS__DATABASE__POOL_SIZE": "2",
        "FACTS__DATABASE__POOL_OVERFLOW": "0",
        "FACTS__WEB__WORKERS": "1",
    }
    looked = {
        "database/capacity::pool",
        "database/performance::no_long_transaction",
        "database/performance::no_forgotten_transaction",
    }

    def failing(name: str) -> set[str]:
        with working(primary, "SELECT pg_sleep(60)", name), sessions(primary, name) as (session,):
            session.run("BEGIN")
            time.sleep(1.2)
            environment = {f"RUNBOOK__{key}": value for key, value in told.items()}
            record = run_checks(tmp_path / name, environment, "checks/database", expression="daily")
        return {one.check.id for one in record.results if one.outcome == Outcome.FAILED} & looked

    assert failing("report") == looked
    assert failing(BACKUP) == set()
    assert failing("pgbackrest") == {"database/capacity::pool"}


def test_a_session_that_was_just_forgotten_is_left_alone(primary: PostgresServer) -> None:
    with sessions(primary, "app") as (session,):
        session.run("BEGIN")
        assert not acting(primary, "database-slow").needed("end_forgotten"), "ten minutes are not over"


def test_statistics_are_refreshed_only_when_queries_are_slow(primary: PostgresServer) -> None:
    primary.sql("CREATE TABLE crowd WITH (autovacuum_enabled = false) AS SELECT generate_series(1, 5000) AS n", "shop")
    primary.sql("DELETE FROM crowd WHERE n > 1000", "shop")
    seen = "SELECT n_dead_tup, last_vacuum IS NOT NULL, last_analyze IS NOT NULL FROM pg_stat_user_tables WHERE relname = 'crowd'"
    until(lambda: primary.sql(seen, "shop") == [(4000, False, False)])
    try:
        assert not acting(primary, "database-slow", FORGOTTEN).needed("vacuum")
        book = acting(primary, "database-slow", SLOW)
        assert book.needed("vacuum")
        book.do("vacuum")
        until(lambda: primary.sql(seen, "shop") == [(0, True, True)])
    finally:
        primary.sql("DROP TABLE crowd", "shop")


def test_tables_are_analysed_and_a_locked_one_is_waited_for_by_nobody(primary: PostgresServer) -> None:
    for name in ("first", "second"):
        primary.sql(
            f"CREATE TABLE {name} WITH (autovacuum_enabled = false) AS SELECT generate_series(1, 100) AS n", "shop"
        )
    analysed = (
        "SELECT relname FROM pg_stat_user_tables WHERE last_analyze IS NOT NULL AND relname IN ('first', 'second')"
    )
    try:
        with sessions(primary, "app") as (session,):
            session.run("BEGIN")
            session.run("LOCK TABLE second IN ACCESS EXCLUSIVE MODE")
            acting(primary, "tables-not-analysed").do("vacuum")
        until(lambda: primary.sql(analysed, "shop") == [("first",)])
        acting(primary, "tables-not-analysed").do("vacuum")
        until(lambda: len(primary.sql(analysed, "shop")) == 2)
    finally:
        primary.sql("DROP TABLE first, second", "shop")


def test_the_database_is_restarted_only_when_users_wait_and_nothing_is_lost(primary: PostgresServer) -> None:
    assert acting(primary, "database-slow", SLOW).needed("restart")
    assert acting(primary, "database-slow", FORGOTTEN, WAITING).needed("restart")
    assert not acting(primary, "database-slow", FORGOTTEN).needed("restart"), "nobody waits"
    for name in ("pg_dump", BACKUP):
        with sessions(primary, name):
            assert not acting(primary, "database-slow", SLOW).needed("restart"), "a backup would be lost"
    primary.sql("CREATE TABLE crowd AS SELECT generate_series(1, 10) AS n", "shop")
    try:
        with sessions(primary, "app") as (session,):
            session.run("BEGIN")
            session.run("LOCK TABLE crowd IN ROW EXCLUSIVE MODE")
            with working(primary, "CREATE INDEX CONCURRENTLY crowd_n ON crowd (n)", "migration"):
                assert not acting(primary, "database-slow", SLOW).needed("restart"), "an index would be lost"
    finally:
        primary.sql("DROP TABLE crowd", "shop")


def test_the_database_is_not_restarted_by_one_who_cannot_see_what_would_be_lost(primary: PostgresServer) -> None:
    book = acting(primary, "database-slow", SLOW, probes__database__uri=primary.uri("guest", "shop"))
    assert not book.needed("restart")
    primary.sql("GRANT pg_monitor TO guest")
    try:
        assert book.needed("restart")
    finally:
        primary.sql("REVOKE pg_monitor FROM guest")


def test_texts_in_statements_are_not_shown(primary: PostgresServer, capfd: pytest.CaptureFixture[str]) -> None:
    for statement in (
        "SELECT pg_sleep(60), 'somebody@example.org' AS who",
        "SELECT pg_sleep(60), $who$somebody@example.org$who$",
        r"SELECT pg_sleep(60), E'it\'s somebody@example.org'",
        "SELECT pg_sleep(60), 4711 AS account /* of somebody */",
    ):
        with working(primary, statement):
            acting(primary, "database-slow").do("activity")
        seen = capfd.readouterr().out
        assert "SELECT pg_sleep(?), ?" in seen
        assert not [word for word in ("somebody", "4711") if word in seen]


def test_web_is_restarted_only_when_it_holds_the_connections(primary: PostgresServer) -> None:
    assert not acting(primary, "database-connections").needed("restart_web")
    with sessions(primary, *["nightscan-web"] * 8):
        assert acting(primary, "database-connections").needed("restart_web")
        assert not acting(primary, "database-connections", facts__database__application="").needed("restart_web")


def test_a_database_that_was_switched_to_read_only_takes_writes_again(primary: PostgresServer) -> None:
    book = acting(primary, "database-down")
    assert not book.needed("take_writes")
    primary.sql("ALTER SYSTEM SET default_transaction_read_only = on")
    primary.sql("SELECT pg_reload_conf()")
    mode = "SHOW default_transaction_read_only"
    try:
        until(lambda: primary.sql(mode) == [("on",)])
        assert book.needed("take_writes")
        book.do("take_writes")
        until(lambda: primary.sql(mode) == [("off",)])
        assert not book.steps["take_writes"].undo, "to take the writes away again helps nobody"
    finally:
        primary.sql("ALTER SYSTEM RESET default_transaction_read_only")
        primary.sql("SELECT pg_reload_conf()")
    until(lambda: primary.sql(mode) == [("off",)])


def test_what_a_person_wrote_into_the_configuration_is_left_to_people(primary: PostgresServer) -> None:
    file = Path(str(primary.sql("SHOW config_file")[0][0]))
    before, mode = file.read_text(), "SHOW default_transaction_read_only"
    try:
        file.write_text(f"{before}\ndefault_transaction_read_only = on\n")
        primary.sql("SELECT pg_reload_conf()")
        until(lambda: primary.sql(mode) == [("on",)])
        assert not acting(primary, "database-down").needed("take_writes"), "ALTER SYSTEM RESET changes nothing there"
    finally:
        file.write_text(before)
        primary.sql("SELECT pg_reload_conf()")
    until(lambda: primary.sql(mode) == [("off",)])


def test_a_standby_that_is_taken_for_the_database_is_not_made_to_take_writes(standby: PostgresServer) -> None:
    book = acting(standby, "database-down")
    assert not book.needed("take_writes")
    assert not book.needed("restart")


@pytest.mark.parametrize(
    ("runbook", "step", "probe"),
    [("database-down", "restart", "database"), ("replication-slot", "restart_standby", "standby")],
)
def test_only_a_server_that_does_not_answer_is_restarted(
    primary: PostgresServer, runbook: str, step: str, probe: str
) -> None:
    def book(uri: str) -> Acting:
        return acting(primary, runbook, **{f"probes__{probe}__uri": uri, f"probes__{probe}__connect_timeout": 2})

    right, closed = primary.uri(database="shop"), free_port()
    wrong = right.replace(SECRET, "wrong")
    assert not book(right).needed(step)
    assert "password authentication failed" in book(wrong).unseen(step), "it refuses us, not users"
    assert "failed to resolve host 'nowhere.invalid'" in book("postgresql://u@nowhere.invalid/shop").unseen(step)
    assert book(primary.uri(port=closed)).needed(step)
    assert book(f"postgresql://u@127.0.0.1:{closed},127.0.0.1:{free_port()}/shop").needed(step)
    untried = "255.255.255.255"  # nothing can be sent there, as to the IPv6 address of localhost where that is off
    assert book(f"postgresql://u@{untried},127.0.0.1:{closed}/shop").needed(step)
    assert "etwork is unreachable" in book(f"postgresql://u@{untried}/shop").unseen(step)
    one_of_two = wrong.replace(f":{primary.port}", f":{primary.port},127.0.0.1:{closed}")
    assert "password authentication failed" in book(one_of_two).unseen(step), "the other one may be IPv6"
    with black_hole() as port:
        assert book(primary.uri(port=port)).needed(step)


def test_a_database_without_a_free_connection_is_not_restarted(primary: PostgresServer) -> None:
    guest = acting(primary, "database-down", probes__database__uri=primary.uri("guest", "shop"))
    with ExitStack() as stack:
        with pytest.raises(psycopg.OperationalError):
            while True:
                stack.enter_context(primary.connect("guest", "shop"))
        assert re.search("too many clients|connection slots are reserved", guest.unseen("restart"))


@pytest.mark.parametrize(
    ("runbook", "step"),
    [
        ("database-slow", "activity"),
        ("database-slow", "statements"),
        ("database-slow", "tables"),
        ("database-connections", "sessions"),
        ("database-connections", "room"),
        ("replication-lag", "followers"),
        ("replication-lag", "replay"),
        ("replication-slot", "slots"),
        ("tables-not-analysed", "tables"),
        ("tables-not-analysed", "holders"),
        ("indexes-bloated", "invalid"),
        ("indexes-bloated", "largest"),
    ],
)
def test_what_a_person_would_look_at_is_asked_in_words_that_the_server_knows(
    primary: PostgresServer, standby: PostgresServer, runbook: str, step: str
) -> None:
    pair(primary, standby, runbook).do(step)

"""The runbooks of database and standby on real servers: whom they end, what they drop, and what they must leave alone."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any

import psycopg
import pytest
from pytest_runbook.backup import postgresql
from pytest_runbook.model import Outcome

from lab.rounds import run_checks
from tests.probes.databases import (
    SECRET,
    PostgresServer,
    black_hole,
    free_port,
    postgres_pair,
    server_folder,
    until,
)
from tests.remediation.acting import Acting, settings

SLOW = "database/performance::query_time_p95"
WAITING = "database/performance::nobody_waits_for_a_lock"
FORGOTTEN = "database/performance::no_forgotten_transaction"


BACKUP = str(postgresql.server(settings(probes__database__host="127.0.0.1"), "database").address["application_name"])
"""What the sessions of our own backups and restores are called, and those of pg_dump in them."""


def acting(server: PostgresServer, runbook: str, *checks: str, **overrides: object) -> Acting:
    told = {"probes__database__uri": server.uri(database="shop"), **overrides}
    return Acting(runbook, settings(**told), checks)


def pair(primary: PostgresServer, standby: PostgresServer, runbook: str, **overrides: object) -> Acting:
    return acting(primary, runbook, probes__standby__uri=standby.uri(database="shop"), **overrides)


class Session:
    """One session of an application."""

    def __init__(self, server: PostgresServer, name: str) -> None:
        self.connection = psycopg.connect(server.uri(database="shop"), autocommit=True, application_name=name)
        self.pid = self.connection.info.backend_pid

    def run(self, statement: str) -> None:
        self.connection.execute(statement.encode())

    @property
    def alive(self) -> bool:
        try:
            self.run("SELECT 1")
        except psycopg.Error:
            return self.connection.info.transaction_status == psycopg.pq.TransactionStatus.INERROR
        return True


@contextmanager
def sessions(server: PostgresServer, *names: str) -> Iterator[list[Session]]:
    with ExitStack() as stack:
        made = [Session(server, name) for name in names]
        for session in made:
            stack.enter_context(session.connection)
        yield made


@contextmanager
def working(server: PostgresServer, statement: str, name: str = "report") -> Iterator[Thread]:
    """A session that works on STATEMENT until the end of the context."""
    with psycopg.connect(server.uri(database="shop"), autocommit=True, application_name=name) as connection:

        def work() -> None:
            with suppress(psycopg.Error):
                connection.execute(statement.encode())

        thread = Thread(target=work, daemon=True)
        thread.start()
        until(
            lambda: server.sql(f"SELECT 1 FROM pg_stat_activity WHERE application_name = '{name}' AND state = 'active'")
        )
        yield thread
        server.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{name}'")
        thread.join(10)


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


def test_replay_that_was_paused_goes_on(primary: PostgresServer, standby: PostgresServer) -> None:
    book = pair(primary, standby, "replication-lag")
    assert not book.needed("resume")
    paused = "SELECT pg_is_wal_replay_paused()"
    standby.sql("SELECT pg_wal_replay_pause()")
    assert standby.sql(paused) == [(True,)]
    assert book.needed("resume")
    book.do("resume")
    assert standby.sql(paused) == [(False,)]
    assert not book.steps["resume"].undo, "a standby that stands still fills the primary's disk"


@contextmanager
def copied(primary: PostgresServer, name: str) -> Iterator[PostgresServer]:
    """Another standby of PRIMARY, on which recovery goes no further than to the restore point NAME."""
    with server_folder() as folder:
        copy = PostgresServer(folder / "copy", {**primary.settings, "recovery_target_name": name})
        source = primary.uri(database="replication")
        primary.program("pg_basebackup", "-D", str(copy.folder), "-d", source, "-c", "fast", "-N", "-R")
        primary.sql(f"SELECT pg_create_restore_point('{name}')")
        try:
            copy.start()
            yield copy
        finally:
            copy.stop()


def test_a_standby_that_was_paused_where_data_are_rescued_is_left_to_people(primary: PostgresServer) -> None:
    with copied(primary, "before_the_accident") as copy:
        until(lambda: copy.sql("SELECT pg_is_wal_replay_paused()") == [(True,)])
        guest = acting(primary, "replication-lag", probes__standby__uri=copy.uri("guest", "shop"))
        for book in (pair(primary, copy, "replication-lag"), guest):
            why = book.unseen("resume")
            assert 'paused at its recovery_target_name, "before_the_accident"' in why
            assert "ends its recovery for good" in why
            assert not book.needed("restart")


def test_a_standby_that_paused_because_it_is_too_small_is_left_to_people() -> None:
    with postgres_pair() as (primary, standby):
        primary.stop()
        primary.settings["max_connections"] = "120"
        primary.start()
        until(lambda: standby.sql("SELECT pg_is_wal_replay_paused()") == [(True,)])
        book = pair(primary, standby, "replication-lag")
        assert "max_connections is 100 there and 120 on the primary: to resume shuts it down" in book.unseen("resume")
        assert not book.needed("restart"), "it would not start"
        primary.stop()
        assert '"database": connection' in book.unseen("resume"), "nobody can tell"


def test_replay_that_was_paused_for_a_backup_goes_on_after_it(primary: PostgresServer, standby: PostgresServer) -> None:
    book = pair(primary, standby, "replication-lag")
    standby.sql("SELECT pg_wal_replay_pause()")
    try:
        for name in (BACKUP, "pg_dump"):
            with sessions(standby, name):
                assert f'"{name}" is at work there' in book.unseen("resume")
        assert book.needed("resume")
    finally:
        standby.sql("SELECT pg_wal_replay_resume()")


def test_a_standby_is_restarted_when_it_is_down_or_has_lost_the_primary(
    primary: PostgresServer, standby: PostgresServer
) -> None:
    book = pair(primary, standby, "replication-lag")
    assert not book.needed("restart"), "it follows, and will catch up"
    assert not pair(primary, primary, "replication-lag").needed("restart"), "a primary is no standby"
    silent = standby.uri(port=free_port())
    assert acting(primary, "replication-lag", probes__standby__uri=silent).needed("restart")
    wrong = standby.uri().replace(SECRET, "wrong")
    assert "password" in acting(primary, "replication-lag", probes__standby__uri=wrong).unseen("restart")
    source = standby.sql("SHOW primary_conninfo")[0][0]
    receiving = "SELECT count(*) FROM pg_stat_wal_receiver"
    try:
        standby.sql(f"ALTER SYSTEM SET primary_conninfo = 'host=127.0.0.1 port={free_port()}'")
        standby.sql("SELECT pg_reload_conf()")
        until(lambda: standby.sql(receiving) == [(0,)])
        with sessions(standby, BACKUP):
            assert not book.needed("restart"), "a backup would be lost"
        assert book.needed("restart")
    finally:
        standby.sql(f"ALTER SYSTEM SET primary_conninfo = {psycopg.sql.quote(source)}")
        standby.sql("SELECT pg_reload_conf()")
    until(lambda: standby.sql(f"{receiving} WHERE status = 'streaming'") == [(1,)])


def test_a_slot_that_nobody_reads_is_dropped_and_the_others_stay(
    primary: PostgresServer, standby: PostgresServer
) -> None:
    write = "SELECT pg_logical_emit_message(false, 'test', repeat('x', 1000000)) FROM generate_series(1, 3)"
    book = pair(primary, standby, "replication-slot", limits__database__slot_wal=2_000_000)
    primary.sql("SELECT pg_create_physical_replication_slot('forgotten', true)")
    primary.sql(write)
    primary.sql("CHECKPOINT")  # from where on a new slot keeps the log
    primary.sql("SELECT pg_create_physical_replication_slot('fresh', true)")
    try:
        assert book.needed("drop_slots")
        book.do("drop_slots")
        assert primary.sql("SELECT slot_name FROM pg_replication_slots") == [("fresh",)]
        assert not book.needed("drop_slots")
    finally:
        primary.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")


def test_a_standby_that_answers_or_was_never_meant_to_be_is_not_restarted_for_its_slot(
    primary: PostgresServer, standby: PostgresServer
) -> None:
    assert not pair(primary, standby, "replication-slot").needed("restart_standby")
    assert not acting(primary, "replication-slot").needed("restart_standby"), "there is none"


@pytest.fixture
def crowd(primary: PostgresServer) -> Iterator[PostgresServer]:
    """A table with a good index, one that cannot be rebuilt, and what a rebuild that failed has left."""
    primary.sql("CREATE TABLE crowd AS SELECT n, n % 10 AS twice FROM generate_series(1, 1000) AS n", "shop")
    primary.sql('CREATE INDEX "Crowd N" ON crowd (n)', "shop")
    for name in ("crowd_twice", "crowd_twice_ccnew", "crowd_twice_ccold1"):
        with pytest.raises(psycopg.errors.UniqueViolation):
            primary.sql(f"CREATE UNIQUE INDEX CONCURRENTLY {name} ON crowd (twice)", "shop")
    yield primary
    primary.sql("DROP TABLE crowd", "shop")


def indexes(server: PostgresServer) -> dict[str, Any]:
    """Name to file of each index of the crowd."""
    question = (
        "SELECT relname, relfilenode FROM pg_class JOIN pg_index ON indexrelid = oid WHERE indrelid = 'crowd'::regclass"
    )
    return dict(server.sql(question, "shop"))


def test_leftovers_of_a_failed_rebuild_are_dropped_and_nothing_else(crowd: PostgresServer) -> None:
    book = acting(crowd, "indexes-bloated")
    assert book.needed("drop_leftovers")
    book.do("drop_leftovers")
    assert sorted(indexes(crowd)) == ["Crowd N", "crowd_twice"]
    assert not book.needed("drop_leftovers")


def test_every_ill_index_is_rebuilt_though_one_cannot_be(crowd: PostgresServer) -> None:
    crowd.sql("CREATE INDEX crowd_dense ON crowd (n)", "shop")
    crowd.sql("UPDATE crowd SET n = n + 1000", "shop")
    crowd.sql("UPDATE crowd SET n = n + 1000", "shop")
    crowd.sql("VACUUM ANALYZE crowd", "shop")
    crowd.sql("REINDEX INDEX crowd_dense", "shop")
    book = acting(crowd, "indexes-bloated", limits__database__index_size=8192, limits__database__index_bloat=1.6)
    book.do("drop_leftovers")
    before = indexes(crowd)
    assert book.needed("rebuild")
    why = book.refusal("rebuild")
    assert "1 not" in why
    assert "crowd_twice" in why
    after = indexes(crowd)
    assert sorted(after) == ["Crowd N", "crowd_dense", "crowd_twice"], "what failed has left nothing behind"
    assert after["Crowd N"] != before["Crowd N"]
    assert after["crowd_dense"] == before["crowd_dense"], "nothing is wrong with it"


def test_no_index_is_touched_while_a_backup_is_made(crowd: PostgresServer) -> None:
    book = acting(crowd, "indexes-bloated")
    with sessions(crowd, BACKUP) as (session,):
        session.run("BEGIN ISOLATION LEVEL REPEATABLE READ")
        session.run("SELECT count(*) FROM crowd")
        for step in ("drop_leftovers", "rebuild"):
            assert f'"{BACKUP}" is at work: it would have to be waited for' in book.unseen(step)
    assert book.needed("rebuild")
    crowd.sql("DROP INDEX crowd_twice, crowd_twice_ccnew, crowd_twice_ccold1", "shop")
    with sessions(crowd, BACKUP):
        assert not book.needed("drop_leftovers")
        assert not book.needed("rebuild")


def test_no_index_is_rebuilt_onto_a_disk_without_room(crowd: PostgresServer) -> None:
    assert acting(crowd, "indexes-bloated").needed("rebuild"), "one is invalid"
    for folder, why in (("/proc", "and 0 are free"), ("/nowhere/at/all", "facts.database.folder")):
        book = acting(crowd, "indexes-bloated", facts__database__folder=folder)
        assert why in book.unseen("rebuild")
    crowd.sql("DROP INDEX crowd_twice, crowd_twice_ccnew, crowd_twice_ccold1", "shop")
    assert not acting(crowd, "indexes-bloated", facts__database__folder="/proc").needed("rebuild"), "nothing to do"


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

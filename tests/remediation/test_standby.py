"""The runbooks of the standby on real servers: what goes on, what is restarted, and what is left to people."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from tests.probes.databases import (
    SECRET,
    PostgresServer,
    free_port,
    postgres_pair,
    server_folder,
    until,
)
from tests.remediation.sessions import BACKUP, acting, pair, sessions


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

"""The runbook that rebuilds indexes on a real server: what it drops and rebuilds, and when it touches none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.probes.databases import PostgresServer
from tests.remediation.sessions import BACKUP, acting, sessions


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


def test_a_backup_that_may_be_at_work_is_one_for_a_role_that_is_not_shown_it(crowd: PostgresServer) -> None:
    crowd.sql("ALTER TABLE crowd OWNER TO guest", "shop")
    book = acting(crowd, "indexes-bloated", probes__database__uri=crowd.uri("guest", "shop"))
    with sessions(crowd, BACKUP):
        for step in ("drop_leftovers", "rebuild"):
            assert f'"{BACKUP}" is at work: it would have to be waited for' in book.unseen(step)
    with sessions(crowd, "gunicorn"):
        assert book.needed("drop_leftovers")


def test_no_index_is_rebuilt_onto_a_disk_without_room(crowd: PostgresServer) -> None:
    assert acting(crowd, "indexes-bloated").needed("rebuild"), "one is invalid"
    for folder, why in (("/proc", "and 0 are free"), ("/nowhere/at/all", "facts.database.folder")):
        book = acting(crowd, "indexes-bloated", facts__database__folder=folder)
        assert why in book.unseen("rebuild")
    crowd.sql("DROP INDEX crowd_twice, crowd_twice_ccnew, crowd_twice_ccold1", "shop")
    assert not acting(crowd, "indexes-bloated", facts__database__folder="/proc").needed("rebuild"), "nothing to do"

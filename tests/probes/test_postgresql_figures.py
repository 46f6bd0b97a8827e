"""What the PostgreSQL probe reads of a real server: sessions, locks, tables, statements and their times."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pytest_runbook.errors import Idle, Unmeasured, Unreachable
from pytest_runbook.probes.postgresql.statements import Statement, difference, percentile, summary

from tests.probes.databases import PostgresServer, probing

HIDING = ("activity", "connections", "locks", "statements", "replication")


def test_an_idle_transaction_is_seen_with_its_age(primary: PostgresServer) -> None:
    async def look() -> None:
        async with probing(primary.uri()) as probe:
            await asyncio.sleep(0.3)
            idle = [session for session in await probe.activity() if session.state == "idle in transaction"]
            assert [session.application for session in idle] == ["forgetful"]
            assert idle[0].transaction_age is not None
            assert 0.2 < idle[0].state_age <= idle[0].transaction_age < 5
            assert (idle[0].username, idle[0].database, idle[0].client) == ("admin", "shop", "127.0.0.1")
            assert idle[0].query == "SELECT ?"
            connections = await probe.connections()
            assert connections.by_state["idle in transaction"] == 1
            assert connections.by_application["forgetful"] == 1
            assert connections.used == sum(connections.by_username.values())
            assert connections.fraction == connections.used / (100 - 3)

    with primary.connect(database="shop") as session:
        session.execute("SET application_name = 'forgetful'")
        session.execute("BEGIN")
        session.execute(f"SELECT '{'a' * 500}'".encode())
        asyncio.run(look())


def test_a_blocked_session_is_seen_with_who_blocks_it(primary: PostgresServer) -> None:
    async def look(holder: int) -> None:
        async with probing(primary.uri()) as probe:
            assert (await probe.locks()).oldest == 0
            with primary.connect(database="shop") as waiter:
                waiter.execute("SET lock_timeout = '2s'")
                waiting = asyncio.create_task(asyncio.to_thread(waiter.execute, "SELECT pg_advisory_lock(77)"))
                await asyncio.sleep(0.5)
                locks = await probe.locks()
                assert [(one.pid, one.by) for one in locks.blocked] == [(waiter.info.backend_pid, (holder,))]
                assert 0.2 < locks.oldest < 2
                await asyncio.wait({waiting})
                assert waiting.exception() is not None

    with primary.connect(database="shop") as session:
        session.execute("SELECT pg_advisory_lock(77)")
        asyncio.run(look(session.info.backend_pid))


def test_tables_tell_when_they_were_analysed(primary: PostgresServer) -> None:
    primary.sql('CREATE TABLE "user" AS SELECT generate_series(1, 500) AS n', "shop")
    primary.sql("CREATE TABLE parent (n int) PARTITION BY RANGE (n)", "shop")

    async def look() -> None:
        async with probing(primary.uri(database="shop")) as probe:
            tables = {table.name: table for table in await probe.tables()}
            assert tables["parent"].partitioned
            assert tables["user"].analyze_age is None
            primary.sql('ANALYZE "user"', "shop")
            await asyncio.sleep(0.1)
            table = next(table for table in await probe.tables() if table.name == "user")
            assert table.analyze_age is not None
            assert 0 <= table.analyze_age < 10
            assert (table.live, table.modified, table.vacuumed) == (500, 0, None)
            sizes = await probe.sizes()
            assert sizes.tables["public.user"] >= 16384
            assert sizes.database > sizes.tables["public.user"]

    asyncio.run(look())


def test_settings_extensions_and_writability(primary: PostgresServer, standby: PostgresServer) -> None:
    async def look() -> None:
        async with probing(primary.uri(database="shop")) as here, probing(standby.uri(database="shop")) as there:
            assert await here.setting("fsync") == "off"
            assert await here.has_extension("pg_stat_statements")
            assert not await here.has_extension("postgis")
            assert await here.writable()
            assert not await there.writable()
        async with probing(primary.uri("guest")) as guest:
            with pytest.raises(Unmeasured, match=r'to examine "config_file"|permission denied'):
                await guest.setting("config_file")

    asyncio.run(look())


def test_a_role_without_pg_monitor_is_unmeasured_where_something_is_hidden(primary: PostgresServer) -> None:
    async def look() -> None:
        async with probing(primary.uri("guest", "shop")) as probe:
            for name in HIDING:
                with pytest.raises(Unmeasured, match="GRANT pg_monitor TO that role") as raised:
                    await getattr(probe, name)()
                assert not isinstance(raised.value, Unreachable), name

    primary.sql("SELECT 1", "shop")  # a statement of another role
    with primary.connect():
        asyncio.run(look())


def test_missing_pg_stat_statements_is_unmeasured(primary: PostgresServer) -> None:
    async def look() -> None:
        async with probing(primary.uri(database="postgres")) as probe:
            with pytest.raises(Unmeasured, match='has no extension "pg_stat_statements"\n  hint: shared_preload'):
                await probe.statements()

    asyncio.run(look())


def test_statements_tell_times_and_leave_out_what_is_no_query(primary: PostgresServer) -> None:
    async def look() -> None:
        async with probing(primary.uri(database="shop")) as probe:
            await probe.query("SELECT pg_sleep(0.05)")
            await probe.tables()
            seen = await probe.statements(limit=3)
            assert [one.query for one in seen.slowest][:1] == ["SELECT pg_sleep($1)"]
            assert seen.slowest[0].mean == pytest.approx(0.05, abs=0.03)
            assert seen.calls >= 1
            assert seen.p95 >= 0.04
            assert 0 < seen.span < 60
            everything = [one.query for one in (await probe.statements(limit=1000)).slowest]
            assert not [text for text in everything if "pytest-runbook" in text or text.startswith(("BEGIN", "COMMIT"))]

    primary.sql("SELECT pg_stat_statements_reset()", "shop")
    asyncio.run(look())


def test_the_extension_of_version_13_serves_as_well(primary: PostgresServer) -> None:
    async def look() -> None:
        async with probing(primary.uri(database="old")) as probe:
            await probe.query("SELECT pg_sleep(0.02)")
            seen = await probe.statements()
            assert "SELECT pg_sleep($1)" in [one.query for one in seen.slowest]
            assert seen.span > 0

    primary.sql("CREATE DATABASE old")
    primary.sql("CREATE EXTENSION pg_stat_statements VERSION '1.8'", "old")
    asyncio.run(look())


def test_a_window_counts_only_what_ran_within_it(primary: PostgresServer) -> None:
    async def look() -> None:
        async with probing(primary.uri(database="shop")) as probe:
            with pytest.raises(Idle, match=r"no query ran within 0\.2\d* s"):
                await probe.statements_window(0.2)
            window = asyncio.create_task(probe.statements_window(1.0))
            await asyncio.sleep(0.3)
            for _ in range(3):
                await asyncio.to_thread(primary.sql, "SELECT pg_sleep(0.1)", "shop")
            seen = await window
            assert seen.calls == 3
            assert seen.mean == pytest.approx(0.1, abs=0.05)
            assert 0.1 <= seen.p95 < 0.2
            assert seen.span == pytest.approx(1, abs=0.5)

    for _ in range(5):
        primary.sql("SELECT pg_sleep(0)", "shop")  # the same statement, so far fast
    asyncio.run(look())


def test_reads_tell_the_servers_own_times_and_count_for_nothing_else(primary: PostgresServer) -> None:
    async def look() -> None:
        async with probing(primary.uri(database="shop")) as probe:
            seen = await probe.reads(["order", "slow"], rows=2)
            assert [(one.query, one.rows) for one in seen.slowest] == [
                ('a read of "slow"', 2),
                ('a read of "order"', 2),
            ]
            assert seen.calls == 2
            assert 0.1 <= seen.p95 < 0.2
            assert not [one.query for one in (await probe.statements()).slowest if "slow" in one.query]
            with pytest.raises(Unmeasured, match='relation "gone" does not exist'):
                await probe.reads(["order", "gone"])
            with pytest.raises(Idle, match="no query ran within"):
                await probe.reads([])

    primary.sql('CREATE TABLE "order" AS SELECT generate_series(1, 5) AS number', "shop")
    primary.sql('CREATE VIEW slow AS SELECT number, pg_sleep(0.05)::text FROM "order"', "shop")
    try:
        primary.sql("SELECT pg_stat_statements_reset()", "shop")
        asyncio.run(look())
    finally:
        primary.sql('DROP VIEW slow; DROP TABLE "order"', "shop")


def statement(calls: int, mean: float, stddev: float = 0.0) -> Statement:
    return Statement("", calls, calls, calls * mean, mean, stddev)


def test_the_percentile_is_exact_for_constant_times() -> None:
    assert percentile([statement(94, 0.001), statement(6, 1.0)]) == pytest.approx(1.0)
    assert percentile([statement(96, 0.001), statement(4, 1.0)]) == pytest.approx(0.001)
    assert percentile([statement(10, 0.0), statement(1, 0.0)]) == pytest.approx(0.0, abs=1e-6)


def test_the_percentile_of_scattered_times_is_fair() -> None:
    # 100 uniform times between 10 and 110 ms: mean 60, deviation 29 ms, true 95th percentile 105 ms.
    assert percentile([statement(100, 0.060, 0.029)]) == pytest.approx(0.105, rel=0.15)
    # The limit that the documentation names: 9 of 10 calls in 1 ms, 1 of 10 in 1 s.
    assert percentile([statement(10, 0.1009, 0.2997)]) == pytest.approx(0.39, abs=0.03)


def test_the_difference_of_snapshots_has_its_own_deviation() -> None:
    def row(key: str, calls: int, mean: float, stddev: float = 0.0) -> dict[str, Any]:
        times = {"total": calls * mean, "mean": mean, "stddev": stddev}
        return {"key": key, "query": key, "calls": calls, "rows": calls, **times}

    before = [row("a", 100, 1.0), row("b", 5, 1.0), row("c", 50, 9.0)]
    # a: 100 times 1 s, then 100 times 3 s: together mean 2, deviation 1. c was reset and began again.
    after = [row("a", 200, 2.0, 1.0), row("b", 5, 1.0), row("c", 2, 4.0), row("d", 1, 7.0)]
    found = {one.query: one for one in difference(before, after)}
    assert set(found) == {"a", "c", "d"}
    assert (found["a"].calls, found["a"].mean) == (100, 3.0)
    assert found["a"].stddev == pytest.approx(0.0, abs=1e-6)
    assert found["c"].calls == 2
    with pytest.raises(Unmeasured, match="no query ran within 5 s"):
        summary([], 5.0, 10)

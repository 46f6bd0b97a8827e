"""Replication as the PostgreSQL probe sees it, from a real primary and its standby."""

from __future__ import annotations

import asyncio

import pytest
from pytest_runbook.errors import Unmeasured

from tests.probes.databases import PostgresServer, probing, until


def test_replication_is_seen_from_both_sides_and_idle_is_no_lag(
    primary: PostgresServer, standby: PostgresServer
) -> None:
    async def look() -> None:
        async with probing(primary.uri()) as here, probing(standby.uri()) as there:
            seen = await here.replication()
            assert [(one.name, one.state) for one in seen.standbys] == [("walreceiver", "streaming")]
            assert not seen.in_recovery
            assert seen.lag < 1
            await asyncio.sleep(2)  # nothing happens: the last transaction grows old, the lag does not
            own = await there.replication()
            assert own.in_recovery
            assert own.receiver is not None
            assert (own.receiver.state, own.receiver.paused, own.receiver.lag_bytes) == ("streaming", False, 0)
            assert own.lag < 1
            with pytest.raises(Unmeasured, match="no standby is connected"):
                _ = type(seen)((), (), None).lag

    primary.sql("CREATE TABLE moved (n int)", "shop")
    asyncio.run(look())


def test_a_standby_that_does_not_replay_is_behind(primary: PostgresServer, standby: PostgresServer) -> None:
    async def look() -> None:
        async with probing(primary.uri()) as here, probing(standby.uri()) as there:
            primary.sql("CREATE TABLE seen (n int)", "shop")
            until(lambda: standby.sql("SELECT pg_last_xact_replay_timestamp() IS NOT NULL") == [(True,)])
            standby.sql("SELECT pg_wal_replay_pause()")
            primary.sql("CREATE TABLE unseen AS SELECT generate_series(1, 10000)", "shop")
            await asyncio.sleep(2.5)
            own, seen = await there.replication(), await here.replication()
            assert own.receiver is not None
            assert own.receiver.paused
            assert own.receiver.lag_bytes
            assert own.lag > 2
            assert seen.standbys[0].lag_bytes
            assert seen.lag > 1
            standby.sql("SELECT pg_wal_replay_resume()")
            until(lambda: standby.sql("SELECT pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn()") == [(True,)])
            assert (await there.replication()).lag < 1
            assert (await here.replication()).lag < 2

    try:
        asyncio.run(look())
    finally:
        standby.sql("SELECT pg_wal_replay_resume()")


def test_a_standby_that_is_behind_and_has_replayed_nothing_yet_is_unmeasured(
    primary: PostgresServer, standby: PostgresServer
) -> None:
    async def look() -> None:
        async with probing(standby.uri()) as there:
            own = await there.replication()
            assert own.receiver is not None
            assert own.receiver.lag is None
            assert own.receiver.lag_bytes
            with pytest.raises(Unmeasured, match="a standby is behind, and no transaction tells by how many seconds"):
                _ = own.lag

    primary.sql("CHECKPOINT")
    until(lambda: standby.sql("SELECT pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn()") == [(True,)])
    standby.sql("CHECKPOINT")  # so that nothing is replayed when it starts again
    standby.stop()
    standby.start()
    until(lambda: standby.sql("SELECT 1 FROM pg_stat_wal_receiver WHERE status = 'streaming'"))
    try:
        standby.sql("SELECT pg_wal_replay_pause()")
        primary.sql("CREATE TABLE never_seen AS SELECT generate_series(1, 10000)", "shop")
        until(lambda: standby.sql("SELECT pg_last_wal_receive_lsn() > pg_last_wal_replay_lsn()") == [(True,)])
        asyncio.run(look())
    finally:
        standby.sql("SELECT pg_wal_replay_resume()")


def test_a_standby_that_is_cut_off_counts_from_its_last_transaction(
    primary: PostgresServer, standby: PostgresServer
) -> None:
    async def look() -> None:
        async with probing(standby.uri()) as there:
            await asyncio.sleep(1.5)
            own = await there.replication()
            assert own.receiver is not None
            assert (own.receiver.state, own.receiver.silence) == ("", None)
            assert own.receiver.lag_bytes == 0
            assert own.lag > 1

    primary.sql("CREATE TABLE last_seen (n int)", "shop")
    until(lambda: standby.sql("SELECT pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn()") == [(True,)])
    source = standby.sql("SELECT current_setting('primary_conninfo')")[0][0]
    standby.sql("ALTER SYSTEM SET primary_conninfo = ''")
    standby.sql("SELECT pg_reload_conf()")
    try:
        until(lambda: standby.sql("SELECT count(*) FROM pg_stat_wal_receiver") == [(0,)])
        asyncio.run(look())
    finally:
        standby.sql(f"ALTER SYSTEM SET primary_conninfo = '{source.replace(chr(39), chr(39) * 2)}'")
        standby.sql("SELECT pg_reload_conf()")
        until(lambda: standby.sql("SELECT 1 FROM pg_stat_wal_receiver WHERE status = 'streaming'"))


def test_a_slot_tells_what_it_retains(primary: PostgresServer) -> None:
    async def look() -> None:
        async with probing(primary.uri()) as probe:
            slots = {slot.name: slot for slot in (await probe.replication()).slots}
            assert slots["forgotten"].kind == "physical"
            assert not slots["forgotten"].active
            assert slots["forgotten"].retained > 100_000

    primary.sql("SELECT pg_create_physical_replication_slot('forgotten', true)")
    try:
        primary.sql("CREATE TABLE heavy AS SELECT generate_series(1, 20000)", "shop")
        asyncio.run(look())
    finally:
        primary.sql("SELECT pg_drop_replication_slot('forgotten')")

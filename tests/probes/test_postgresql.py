"""The PostgreSQL probe against real servers: what it reads, and how it says that it cannot."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
from pytest_runbook.errors import Idle, Unmeasured, Unreachable
from pytest_runbook.evidence.context import Notebook, writing
from pytest_runbook.probes.postgresql import Postgresql, PostgresqlSettings
from pytest_runbook.probes.postgresql.client import silent
from pytest_runbook.probes.postgresql.statements import Statement, difference, percentile, summary

from tests.probes.databases import SECRET, PostgresServer, black_hole, free_port, speaking, until, wire_to

HIDING = ("activity", "connections", "locks", "statements", "replication")


@asynccontextmanager
async def probing(uri: str = "", **settings: Any) -> AsyncIterator[Postgresql]:
    probe = Postgresql("database", PostgresqlSettings(kind="postgresql", uri=uri, **{"timeout": 5, **settings}))
    try:
        yield probe
    finally:
        await probe.close()


async def refused(uri: str = "", **settings: Any) -> Unmeasured:
    """What a first question raises, timed: it must not take longer than connecting may."""
    begun = time.monotonic()
    async with probing(uri, **{"connect_timeout": 1, **settings}) as probe:
        with pytest.raises(Unmeasured) as raised:
            await probe.ping()
    assert time.monotonic() - begun < 3
    assert SECRET not in str(raised.value)
    return raised.value


def test_query_answers_rows_and_one_answers_a_value(primary: PostgresServer) -> None:
    async def look() -> None:
        async with probing(primary.uri()) as probe:
            assert await probe.query("SELECT %s::int AS n, 'x' AS t", [7]) == [{"n": 7, "t": "x"}]
            assert await probe.one("SELECT count(*) FROM pg_roles WHERE rolname = %(role)s", {"role": "guest"}) == 1
            with pytest.raises(Unmeasured, match="answered 2 rows where one was expected"):
                await probe.one("SELECT generate_series(1, 2)")
            assert await probe.ping() > 0

    asyncio.run(look())


def test_every_way_to_name_the_server_finds_it(primary: PostgresServer) -> None:
    async def look() -> None:
        parts: dict[str, Any] = {
            "host": "127.0.0.1",
            "port": primary.port,
            "database": "shop",
            "username": "admin",
            "password": SECRET,
        }
        async with probing(**parts) as probe:
            assert await probe.one("SELECT current_database()") == "shop"
            assert probe.target == f"127.0.0.1:{primary.port}/shop"
        async with probing(primary.uri(database="postgres"), **parts) as probe:  # the URI wins, where it says something
            assert await probe.one("SELECT current_database()") == "postgres"
        async with probing(f"postgresql://admin@127.0.0.1:{primary.port}/shop", password=SECRET) as probe:
            assert await probe.one("SELECT current_user") == "admin"
        async with probing(primary.uri().replace("postgresql://", "postgresql+psycopg2://")) as probe:
            assert await probe.one("SELECT current_setting('application_name')") == "pytest-runbook"
        # As a container knows it, and seen from outside of containers.
        async with probing(
            primary.uri(database="shop").replace("127.0.0.1", "postgres.invalid"), via="127.0.0.1"
        ) as probe:
            assert await probe.one("SELECT current_database()") == "shop"
            assert probe.target == f"postgres.invalid:{primary.port}/shop"

    asyncio.run(look())


def test_it_reads_only(primary: PostgresServer) -> None:
    async def look() -> None:
        async with probing(primary.uri()) as probe:
            with pytest.raises(Unmeasured, match="read-only transaction\n  hint: the probe reads only"):
                await probe.query("CREATE TABLE intruder (n int)")
            with pytest.raises(Unmeasured, match="multiple commands"):
                await probe.query("COMMIT; CREATE TABLE intruder (n int)")
            with pytest.raises(Unmeasured, match='relation "intruder" does not exist'):
                await probe.query("SELECT * FROM intruder")

    asyncio.run(look())


def test_an_endless_answer_is_cut_off(primary: PostgresServer) -> None:
    async def look() -> None:
        async with probing(primary.uri(), max_rows=100) as probe:
            assert len(await probe.query("SELECT generate_series(1, 100)")) == 100
            with pytest.raises(Unmeasured, match="answered more than 100 rows"):
                await probe.query("SELECT generate_series(1, 1000000000)")
            assert await probe.one("SELECT 1") == 1

    asyncio.run(look())


def test_the_server_itself_stops_a_slow_statement(primary: PostgresServer) -> None:
    async def look() -> None:
        async with probing(primary.uri(), timeout=2) as probe:
            with pytest.raises(Unreachable, match="statement timeout"):
                await probe.query("SELECT pg_sleep(20)")

    asyncio.run(look())
    assert primary.sql("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(20)%'") == [(0,)]


@pytest.mark.parametrize(
    ("user", "database", "said"),
    [
        ("guest", "nowhere", 'database "nowhere" does not exist'),
        ("nobody", "postgres", 'password authentication failed for user "nobody"'),
    ],
)
def test_a_server_that_answers_no_is_unmeasured(primary: PostgresServer, user: str, database: str, said: str) -> None:
    error = asyncio.run(refused(primary.uri(user, database)))
    assert not isinstance(error, Unreachable)
    assert str(error) == f'"127.0.0.1:{primary.port}/{database}": {said}'


def test_a_wrong_password_is_unmeasured_and_never_shown(
    primary: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    error = asyncio.run(refused(primary.uri().replace(SECRET, "wrong-pass-word")))
    assert not isinstance(error, Unreachable)
    assert str(error) == f'"127.0.0.1:{primary.port}/postgres": password authentication failed for user "admin"'
    assert "wrong-pass-word" not in caplog.text
    missing = asyncio.run(refused(f"postgresql://admin@127.0.0.1:{primary.port}/postgres"))
    assert "no password supplied" in str(missing)


def test_tls_demanded_of_a_server_without_is_unmeasured(primary: PostgresServer) -> None:
    error = asyncio.run(refused(primary.uri(), sslmode="require"))
    assert not isinstance(error, Unreachable)
    assert "SSL was required" in str(error)


def test_a_refused_connection_is_unreachable(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    port = free_port()
    error = asyncio.run(refused(f"postgresql://u:{SECRET}@127.0.0.1:{port}/shop"))
    assert isinstance(error, Unreachable)
    assert str(error) == f'"127.0.0.1:{port}/shop": connection refused'
    assert not [record for record in caplog.records if record.name.startswith("psycopg")]


@pytest.mark.parametrize(
    ("reasons", "nobody"),
    [
        (["could not send startup packet: Connection reset by peer"], True),
        (["could not send SSL negotiation packet: Connection reset by peer"], True),
        (["SSL error: unexpected eof while reading"], True),
        (["SSL error: certificate verify failed"], False),
        (["Cannot assign requested address", "Connection refused"], True),
        (["Connection refused", "could not create socket: Address family not supported by protocol"], True),
        (["Cannot assign requested address"], False),
        (["Cannot assign requested address", "FATAL:  the database system is starting up"], False),
        (["No route to host", "Connection refused"], False),
    ],
)
def test_silence_is_of_the_addresses_to_which_something_could_be_sent(reasons: list[str], nobody: bool) -> None:
    lines = [
        f'connection to server at "localhost" (::{n}), port 5432 failed: {reason}' for n, reason in enumerate(reasons)
    ]
    said = "connection failed: " + "\n\tIs the server running there?\n".join(lines)
    assert silent(psycopg.OperationalError(said)) is nobody


def test_an_unknown_host_is_unreachable() -> None:
    error = asyncio.run(refused(f"postgresql://u:{SECRET}@nowhere.invalid/shop"))
    assert isinstance(error, Unreachable)
    assert "failed to resolve host 'nowhere.invalid'" in str(error)


def test_a_server_that_accepts_and_never_answers_is_unreachable() -> None:
    with black_hole() as port:
        error = asyncio.run(refused(f"postgresql://u:{SECRET}@127.0.0.1:{port}/shop"))
    assert isinstance(error, Unreachable)
    assert str(error) == f'"127.0.0.1:{port}/shop" did not accept a connection within 1.0 s'


def test_many_questions_to_a_silent_server_take_as_long_as_one() -> None:
    async def look(port: int) -> None:
        async with probing(f"postgresql://u:{SECRET}@127.0.0.1:{port}/shop", connect_timeout=0.5) as probe:
            begun = time.monotonic()
            errors = await asyncio.gather(*(probe.query(f"SELECT {n}") for n in range(12)), return_exceptions=True)
            assert {type(error) for error in errors} == {Unreachable}
            assert time.monotonic() - begun < 1.5
            with pytest.raises(Unreachable):  # and a question asked later is a new look
                await probe.ping()
            assert time.monotonic() - begun > 0.9

    with black_hole() as port:
        asyncio.run(look(port))


def test_a_server_that_hangs_up_is_unreachable_and_one_of_another_kind_unmeasured() -> None:
    async def look() -> None:
        async with speaking(b"") as port:
            assert isinstance(await refused(f"postgresql://u:{SECRET}@127.0.0.1:{port}/shop"), Unreachable)
        async with speaking(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
            for mode in ("prefer", "disable"):
                error = await refused(f"postgresql://u:{SECRET}@127.0.0.1:{port}/shop?sslmode={mode}")
                assert not isinstance(error, Unreachable)

    asyncio.run(look())


def test_no_connection_left_is_unreachable(primary: PostgresServer) -> None:
    primary.sql(f"CREATE ROLE crowded LOGIN PASSWORD '{SECRET}' CONNECTION LIMIT 1")
    with primary.connect("crowded"):
        assert isinstance(asyncio.run(refused(primary.uri("crowded"))), Unreachable)


@pytest.mark.parametrize("uri", [f"mysql://u:{SECRET}@h/d", f"postgresql://u:{SECRET}%ZZ@h/d"])
def test_a_bad_uri_is_unmeasured_and_not_shown(uri: str) -> None:
    error = asyncio.run(refused(uri))
    assert "probes.database.uri is no PostgreSQL URI" in str(error)


def test_no_server_configured_is_unmeasured() -> None:
    error = asyncio.run(refused(""))
    assert str(error).startswith('probe "database" has no server\n  hint: set probes.database.uri')
    assert not Postgresql("x", PostgresqlSettings(kind="postgresql")).configured


def test_a_wire_that_falls_silent_is_unreachable_in_time_and_forgotten(primary: PostgresServer) -> None:
    async def look() -> None:
        async with wire_to(primary.port) as wire, probing(primary.uri(port=wire.port), timeout=1) as probe:
            await probe.ping()
            wire.open.clear()
            begun = time.monotonic()
            with pytest.raises(Unreachable, match=r"did not answer within 1\.0 s"):
                await probe.query("SELECT 1")
            assert time.monotonic() - begun < 2
            wire.open.set()
            assert await probe.one("SELECT 1") == 1

    asyncio.run(look())


def test_a_cancelled_question_leaves_at_once(primary: PostgresServer) -> None:
    async def look() -> None:
        async with wire_to(primary.port) as wire, probing(primary.uri(port=wire.port), timeout=30) as probe:
            await probe.ping()
            wire.open.clear()
            begun = time.monotonic()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await probe.query("SELECT 1")
            assert time.monotonic() - begun < 1.5

    asyncio.run(look())


def test_connections_are_few_reused_replaced_and_closed(primary: PostgresServer) -> None:
    ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pytest-runbook'"

    async def look() -> None:
        async with probing(primary.uri(), connections=2) as probe:
            await asyncio.gather(*(probe.query("SELECT pg_sleep(0.02)") for _ in range(8)))
            assert primary.sql(ours) == [(2,)]
            # A server that came back is reached, though every open connection died while it lay idle.
            primary.sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pytest-runbook'"
            )
            assert await probe.one("SELECT 1") == 1
            with pytest.raises(Unreachable, match="terminating connection"):
                await probe.query("SELECT pg_terminate_backend(pg_backend_pid())")
            assert await probe.one("SELECT 1") == 1

    asyncio.run(look())
    until(lambda: primary.sql(ours) == [(0,)])


def test_every_call_is_evidence_and_json(primary: PostgresServer) -> None:
    async def look() -> Notebook:
        notebook = Notebook("database/availability::answers")
        async with probing(primary.uri(database="shop")) as probe:
            with writing(notebook):
                for name in ("ping", "activity", "connections", "locks", "replication", "sizes", "tables", "writable"):
                    await getattr(probe, name)()
                await probe.query("SELECT now() AS n, 1.5::numeric AS d, 'x'::bytea AS b, repeat('y', 9999) AS t")
                with pytest.raises(Unmeasured):
                    await probe.setting("no.such")
        return notebook

    seen = asyncio.run(look()).observations
    assert [one.operation for one in seen[:3]] == ["ping", "activity", "connections"]
    assert all(one.ok and one.target == seen[0].target for one in seen[:-1])
    assert seen[-1].error == f'Unmeasured: "{seen[0].target}" has no setting "no.such"'
    text = json.dumps([one.to_json() for one in seen])
    assert SECRET not in text
    assert len(text) < 10_000


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

"""The PostgreSQL probe against real servers: how it asks, and how it says that it cannot."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from typing import Any

import psycopg
import pytest
from pytest_runbook.errors import Unmeasured, Unreachable
from pytest_runbook.evidence.context import Notebook, writing
from pytest_runbook.probes.postgresql import Postgresql, PostgresqlSettings
from pytest_runbook.probes.postgresql.client import silent

from tests.probes.databases import SECRET, PostgresServer, black_hole, free_port, probing, speaking, until, wire_to


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

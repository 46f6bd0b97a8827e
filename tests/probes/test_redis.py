"""The Redis probe against real servers: what it reads, and how it says that it cannot."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import redis as library
from pytest_runbook.errors import Unmeasured, Unreachable
from pytest_runbook.evidence.context import Notebook, writing
from pytest_runbook.probes.redis import Redis, RedisSettings

from tests.probes.databases import SECRET, RedisServer, black_hole, free_port, speaking, until, wire_to


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("redis")


@pytest.fixture(scope="module")
def shared(folder: Path) -> Iterator[RedisServer]:
    server = RedisServer(folder)
    yield server
    server.stop()


@pytest.fixture
def server(shared: RedisServer) -> RedisServer:
    shared.client.flushall()
    shared.client.config_set("maxmemory", 0)
    return shared


@asynccontextmanager
async def probing(uri: str = "", **settings: Any) -> AsyncIterator[Redis]:
    probe = Redis("cache", RedisSettings(kind="redis", uri=uri, **{"timeout": 5, **settings}))
    try:
        yield probe
    finally:
        await probe.close()


async def refused(uri: str = "", **settings: Any) -> Unmeasured:
    """What a first question raises, timed."""
    begun = time.monotonic()
    async with probing(uri, **{"timeout": 1, "connect_timeout": 1, **settings}) as probe:
        with pytest.raises(Unmeasured) as raised:
            await probe.ping()
    assert time.monotonic() - begun < 2
    assert SECRET not in str(raised.value)
    return raised.value


def test_every_way_to_name_the_server_finds_it(server: RedisServer) -> None:
    async def look() -> None:
        address = f"redis://127.0.0.1:{server.port}/0"
        ways: list[dict[str, Any]] = [
            {"uri": server.uri},
            {"uri": address, "password": SECRET},
            {"host": "127.0.0.1", "port": server.port, "password": SECRET},
            {"uri": server.uri, "password": "of the parts, which the URI beats"},
            # As a container knows it, and seen from outside of containers.
            {"uri": server.uri.replace("127.0.0.1", "cache.invalid"), "via": "127.0.0.1"},
        ]
        for way in ways:
            async with probing(**way) as probe:
                assert await probe.ping() > 0
                assert probe.target == address

    asyncio.run(look())


def test_a_wrong_or_missing_password_is_unmeasured_and_not_shown(server: RedisServer) -> None:
    for password in ("wrong-pass-word", ""):
        error = asyncio.run(refused(server.uri.replace(SECRET, password)))
        assert not isinstance(error, Unreachable)
        assert f'"redis://127.0.0.1:{server.port}/0"' in str(error)
        assert "hint: see the user and the password of probes.cache" in str(error)
        assert "wrong-pass-word" not in str(error)


def test_a_server_that_does_not_serve_is_unreachable() -> None:
    async def look() -> None:
        port = free_port()
        error = await refused(f"redis://:{SECRET}@127.0.0.1:{port}/0")
        assert isinstance(error, Unreachable)
        assert str(error) == f'"redis://127.0.0.1:{port}/0" refused the connection'
        error = await refused(f"redis://:{SECRET}@nowhere.invalid/0")
        assert isinstance(error, Unreachable)
        assert "does not resolve" in str(error)
        with black_hole() as silent:
            for scheme in ("redis", "rediss"):
                error = await refused(f"{scheme}://:{SECRET}@127.0.0.1:{silent}/0")
                assert isinstance(error, Unreachable)
                assert "did not answer within 1.0 s" in str(error)
        async with speaking(b"") as hasty:
            assert isinstance(await refused(f"redis://:{SECRET}@127.0.0.1:{hasty}/0"), Unreachable)

    asyncio.run(look())


def test_a_server_of_another_kind_a_bad_uri_and_none_at_all_are_unmeasured() -> None:
    async def look() -> None:
        async with speaking(b"HTTP/1.1 400 Bad Request\r\n\r\n") as other:
            assert not isinstance(await refused(f"redis://:{SECRET}@127.0.0.1:{other}/0"), Unreachable)
        for uri in (f"postgres://:{SECRET}@127.0.0.1/0", f"redis://:{SECRET}@127.0.0.1:port/0"):
            assert "probes.cache.uri is no Redis URI" in str(await refused(uri))
        assert 'probe "cache" has no server\n  hint: set probes.cache.uri' in str(await refused())
        led = str(await refused(f"rediss://:{SECRET}@cache.invalid/0", via="127.0.0.1"))
        assert 'probes.cache.via "127.0.0.1" does not go with TLS' in led

    asyncio.run(look())


def test_a_server_out_of_clients_is_unreachable(server: RedisServer) -> None:
    server.client.config_set("maxclients", 1)
    try:
        assert isinstance(asyncio.run(refused(server.uri)), Unreachable)
    finally:
        server.client.config_set("maxclients", 10000)


def test_a_wire_that_falls_silent_is_unreachable_in_time_and_answers_do_not_mix(server: RedisServer) -> None:
    async def look() -> None:
        async with wire_to(server.port) as wire:
            uri = server.uri.replace(str(server.port), str(wire.port))
            async with probing(uri, timeout=0.5) as probe:
                await probe.ping()
                wire.open.clear()
                begun = time.monotonic()
                with pytest.raises(Unreachable, match="did not answer within 500 ms"):
                    await probe.queue_length("celery")
                assert time.monotonic() - begun < 1
                wire.open.set()
                assert await probe.config("maxmemory") == "0"

    asyncio.run(look())


def test_a_connection_that_died_idle_is_replaced_and_all_are_closed(server: RedisServer) -> None:
    mine = str(server.client.client_id())

    async def look() -> None:
        async with probing(server.uri) as probe:
            await probe.ping()
            [ours] = [client["addr"] for client in server.client.client_list() if client["id"] != mine]
            server.client.client_kill(ours)
            await asyncio.sleep(0.05)
            assert await probe.ping() > 0
        until(lambda: [client["id"] for client in server.client.client_list()] == [mine])

    asyncio.run(look())


def test_memory_its_limit_and_what_was_evicted(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)  # its own: another test's replica leaves a backlog that counts as memory

    async def look() -> None:
        async with probing(server.uri) as probe:
            free = await probe.memory()
            assert (free.max, free.fraction, free.policy) == (0, None, "noeviction")
            assert free.used > 100_000
            server.client.config_set("maxmemory", 100 * 1024**2)
            limited = await probe.memory()
            assert limited.max == 100 * 1024**2
            assert limited.fraction == limited.used / limited.max
            before = limited.evicted
            server.client.config_set("maxmemory-policy", "allkeys-lru")
            server.client.config_set("maxmemory", free.used + 1_000_000)
            for number in range(400):
                server.client.set(f"k{number}", "x" * 5000)
            seen = await probe.memory()
            assert (seen.policy, seen.evicted > before) == ("allkeys-lru", True)
            assert isinstance(seen.fragmentation, float)

    try:
        asyncio.run(look())
    finally:
        server.stop()


def test_a_round_trip_leaves_nothing_and_tells_why_it_was_refused(server: RedisServer) -> None:
    async def look() -> None:
        async with probing(server.uri) as probe:
            seen = await probe.round_trip()
            assert (seen.ok, seen.error) == (True, "")
            assert 0 < seen.seconds < 1
            assert server.client.keys("*") == []
            server.client.config_set("maxmemory", 1)
            full = await probe.round_trip()
            assert not full.ok
            assert "maxmemory" in full.error
            server.client.config_set("maxmemory", 0)
            server.client.config_set("min-replicas-to-write", 1)
            alone = await probe.round_trip()
            assert not alone.ok
            assert "replicas" in alone.error.lower()
            assert server.client.keys("*") == []

    try:
        asyncio.run(look())
    finally:
        server.client.config_set("min-replicas-to-write", 0)


def test_latency_is_that_of_answers_and_not_of_connecting(server: RedisServer) -> None:
    async def look() -> None:
        async with probing(server.uri) as probe:
            seen = await probe.latency(samples=3, interval=0.01)
            assert 0 < seen.median <= seen.worst < 1

    asyncio.run(look())


def test_queues_of_every_type_are_counted(server: RedisServer) -> None:
    server.client.rpush("celery", *range(7))
    server.client.zadd("prediction:queue", {"a": 1, "b": 2})
    server.client.xadd("events", {"a": "1"})
    server.client.sadd("waiting", "a", "b", "c")
    server.client.set("word", "x")

    async def look() -> None:
        async with probing(server.uri) as probe:
            names = ("celery", "prediction:queue", "events", "waiting", "nothing")
            assert [await probe.queue_length(name) for name in names] == [7, 2, 1, 3, 0]
            with pytest.raises(Unmeasured, match=r'key "word" of .* is no queue but a string'):
                await probe.queue_length("word")

    asyncio.run(look())


def test_keys_are_found_in_batches_up_to_the_limit(server: RedisServer) -> None:
    with server.client.pipeline() as pipeline:
        for number in range(5000):
            pipeline.set(f"cache:{number}:{'expired' if number % 100 == 0 else 'fresh'}", "")
        pipeline.execute()

    async def look() -> None:
        async with probing(server.uri) as probe:
            expired = await probe.keys("cache:*:expired")
            assert len(set(expired)) == len(expired) == 50
            assert len(await probe.keys("*", limit=10)) == 10
            assert await probe.keys("nothing:*") == []
        async with probing(server.uri, timeout=0.0005) as probe:
            with pytest.raises(Unmeasured):
                await probe.keys("nothing:*")

    asyncio.run(look())


def test_nothing_is_asked_that_redis_6_0_does_not_know(server: RedisServer) -> None:
    """Redis 6.0 tells its time to TIME, and not in INFO: this user may not even ask for it there."""
    server.client.acl_setuser(
        "sixer", enabled=True, passwords=[f"+{SECRET}"], commands=["+time", "+info|persistence", "+client|setinfo"]
    )

    async def look() -> None:
        async with probing(server.uri.replace("://:", "://sixer:")) as probe:
            assert not await probe.loading()
            assert 0 <= (await probe.persistence()).rdb_age < 60
            assert abs(await probe.time() - time.time()) < 5

    asyncio.run(look())


def test_persistence_tells_what_would_survive(folder: Path) -> None:
    server = RedisServer(folder, "--appendonly", "yes", "--dbfilename", "kept.rdb", "--appenddirname", "kept")

    async def look() -> None:
        async with probing(server.uri) as probe:
            server.client.set("a", "b")
            seen = await probe.persistence()
            assert (seen.aof_enabled, seen.aof_ok, seen.rdb_ok) == (True, True, True)
            assert not await probe.loading()
            assert seen.rdb_changes >= 1
            assert 0 <= seen.rdb_age < 10
            server.client.save()
            assert (await probe.persistence()).rdb_changes == 0
            (folder / "kept.rdb").unlink()
            (folder / "kept.rdb").mkdir()  # the snapshot cannot be put in its place
            server.client.bgsave()
            until(lambda: server.client.info("persistence")["rdb_bgsave_in_progress"] == 0)
            assert not (await probe.persistence()).rdb_ok

    try:
        asyncio.run(look())
    finally:
        server.stop()


def test_replication_is_seen_from_both_sides(server: RedisServer, tmp_path: Path) -> None:
    replica = RedisServer(tmp_path, "--replicaof", "127.0.0.1", str(server.port))

    async def look() -> None:
        async with probing(server.uri) as here, probing(replica.uri) as there:
            seen = await here.replication()
            assert (seen.role, seen.link, seen.silence, seen.lag_bytes) == ("primary", "", None, None)
            assert [(one.address, one.state) for one in seen.replicas] == [(f"127.0.0.1:{replica.port}", "online")]
            assert seen.replicas[0].lag <= 2
            own = await there.replication()
            assert (own.role, own.link, own.down, own.syncing, own.replicas) == ("replica", "up", None, False, ())
            assert own.silence is not None
            refusal = await there.round_trip()
            assert (refusal.ok, "replica" in refusal.error) == (False, True)
            replica.client.replicaof("127.0.0.1", str(free_port()))
            await asyncio.sleep(1.2)
            cut = await there.replication()
            assert (cut.link, cut.silence) == ("down", None)
            assert cut.down is not None
            assert cut.down >= 1

    try:
        until(lambda: replica.client.info("replication")["master_link_status"] == "up")
        until(lambda: server.client.info("replication")["slave0"]["state"] == "online")
        asyncio.run(look())
    finally:
        replica.stop()


def test_what_the_user_may_not_ask_is_unmeasured(server: RedisServer) -> None:
    server.client.acl_setuser(
        "reader", enabled=True, passwords=[f"+{SECRET}"], commands=["+@read", "+ping"], keys=["*"]
    )

    async def look() -> None:
        async with probing(server.uri.replace("://:", "://reader:")) as probe:
            await probe.ping()
            for question in (probe.config("maxmemory"), probe.memory(), probe.round_trip()):
                with pytest.raises(Unmeasured, match="hint: allow the command") as raised:
                    await question
                assert not isinstance(raised.value, Unreachable)
        async with probing(server.uri) as probe:
            with pytest.raises(Unmeasured, match='has no setting "maxmomory"'):
                await probe.config("maxmomory")

    asyncio.run(look())


def test_a_renamed_config_command_is_unmeasured(tmp_path: Path) -> None:
    server = RedisServer(tmp_path, "--rename-command", "CONFIG", "")

    async def look() -> None:
        async with probing(server.uri) as probe:
            with pytest.raises(Unmeasured, match="unknown command"):
                await probe.config("maxmemory")
            assert (await probe.memory()).policy == "noeviction"

    try:
        asyncio.run(look())
    finally:
        server.stop()


def test_every_call_is_evidence_and_json(server: RedisServer) -> None:
    async def look() -> Notebook:
        notebook = Notebook("cache/availability::answers")
        async with probing(server.uri) as probe:
            with writing(notebook):
                for name in ("ping", "info", "memory", "persistence", "replication", "round_trip"):
                    await getattr(probe, name)()
                await probe.keys("*")
        return notebook

    server.client.mset({f"key{number}": "x" for number in range(100)})
    seen = asyncio.run(look()).observations
    assert [one.operation for one in seen][:3] == ["ping", "info default", "memory"]
    assert seen[-1].answer[-1] == "… 80 more"
    assert SECRET not in json.dumps([one.to_json() for one in seen])


def test_the_library_is_not_shadowed() -> None:
    assert library.__name__ == "redis"
    assert Path(library.__file__).parent.name == "redis"

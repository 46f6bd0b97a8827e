"""The runbooks of the cache on a real Redis: what they put right, and what they must leave alone."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import redis
import trustme

from tests.probes.databases import SECRET, RedisServer, black_hole, free_port
from tests.remediation.acting import Acting, settings

LIMIT = 64 * 2**20
FULL = "cache/capacity::memory"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    started = RedisServer(tmp_path, "--appendonly", "yes", "--maxmemory", str(LIMIT))
    yield started
    started.stop()


def acting(server: RedisServer, runbook: str, *checks: str, **overrides: object) -> Acting:
    return Acting(runbook, settings(probes__cache__uri=server.uri, **overrides), checks)


def test_expired_entries_go_and_ten_thousand_others_stay(server: RedisServer) -> None:
    with server.client.pipeline(transaction=False) as pipe:
        for number in range(10_000):
            pipe.set(f"cache:species:{number}", "x", ex=600)
        for number in range(3_000):
            pipe.set(f"cache:species:{number}:expired", "x")
        pipe.zadd("prediction:queue", {"job": 1.0})
        pipe.rpush("celery", "task")
        pipe.set("session:of-a-user", "x")
        pipe.set("cache:expired:not", "x")
        pipe.set("expired", "x")
        pipe.execute()
    before = server.client.info("commandstats")
    acting(server, "cache-expired-keys").do("remove")
    assert server.client.dbsize() == 10_005
    assert not list(server.client.scan_iter("cache:*:expired", count=1000))
    after = server.client.info("commandstats")
    assert "cmdstat_keys" not in after
    assert "cmdstat_flushdb" not in after
    assert after["cmdstat_scan"]["calls"] - before.get("cmdstat_scan", {"calls": 0})["calls"] >= 20, "in batches"


def test_nothing_to_remove_is_no_failure(server: RedisServer) -> None:
    acting(server, "cache-expired-keys").do("count")
    acting(server, "cache-expired-keys").do("remove")


def test_switched_off_saving_is_switched_on(server: RedisServer) -> None:
    server.client.config_set("appendonly", "no")
    server.client.set("value", "x")
    book = acting(server, "cache-persistence")
    assert book.needed("settings")
    book.do("settings")
    assert server.client.config_get("appendonly") == {"appendonly": "yes"}
    assert server.client.config_get("save")["save"] == "3600 1 300 100 60 10000"
    assert not book.needed("settings")
    assert book.needed("save")
    book.do("save")
    assert server.client.info("persistence")["rdb_changes_since_last_save"] == 0
    assert not book.needed("save")


def test_a_save_that_fails_again_says_so(server: RedisServer, tmp_path: Path) -> None:
    server.client.set("value", "x")
    (tmp_path / "dump.rdb").mkdir()  # stands in the way
    for runbook in ("cache-persistence", "cache-down"):
        assert "failed again" in acting(server, runbook).refusal("save")
    assert acting(server, "cache-down").needed("save")


def test_writes_are_taken_again_after_a_failed_save(server: RedisServer, tmp_path: Path) -> None:
    server.client.config_set("save", "1 1")
    (tmp_path / "dump.rdb").mkdir()
    book = acting(server, "cache-down")
    book.refusal("save")
    with pytest.raises(redis.ResponseError, match="MISCONF"):
        server.client.set("value", "x")
    (tmp_path / "dump.rdb").rmdir()
    book.do("save")
    assert server.client.set("value", "x")


def test_a_demand_for_replicas_that_are_not_there_is_taken_back(server: RedisServer) -> None:
    server.client.config_set("min-replicas-to-write", 3)
    with pytest.raises(redis.ResponseError, match="NOREPLICAS"):
        server.client.set("value", "x")
    book = acting(server, "cache-down")
    assert book.needed("settings")
    book.do("settings")
    assert server.client.set("value", "x")
    assert server.client.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction", "there was room: no reason"
    assert not book.needed("settings")


def test_a_full_cache_drops_cached_values_and_takes_writes(server: RedisServer) -> None:
    for number in range(700):
        server.client.set(f"cache:{number}", "x" * 90_000, ex=600)
    server.client.rpush("celery", "task")
    server.client.config_set("maxmemory", server.client.info("memory")["used_memory"] - 1)
    with pytest.raises(redis.ResponseError, match=r"used memory > .maxmemory"):
        server.client.set("value", "x")
    book = acting(server, "cache-down")
    assert book.needed("settings")
    book.do("settings")
    assert server.client.set("value", "x")
    assert server.client.llen("celery") == 1


def test_a_full_cache_that_drops_what_it_holds_keeps_its_policy(server: RedisServer) -> None:
    server.client.config_set("maxmemory-policy", "allkeys-lru")
    for number in range(800):
        server.client.set(f"cache:{number}", "x" * 90_000)  # no expiry: other policies drop none of them
    server.client.config_set("min-replicas-to-write", 3)
    acting(server, "cache-down").do("settings")
    assert server.client.set("value", "x" * 90_000)


def test_a_cache_that_would_lose_data_is_not_restarted(server: RedisServer) -> None:
    book = acting(server, "cache-down")
    assert book.needed("restart"), "the append-only file has everything"
    server.client.config_set("appendonly", "no")
    server.client.set("value", "x")
    assert not book.needed("restart"), "the value is in memory only"
    server.client.save()
    assert book.needed("restart")


def test_a_cache_that_does_not_answer_is_restarted_one_that_refuses_us_is_not(server: RedisServer) -> None:
    def book(uri: str) -> Acting:
        return Acting("cache-down", settings(probes__cache__uri=uri, probes__cache__timeout=1))

    assert book(f"redis://127.0.0.1:{free_port()}/0").needed("restart")
    with black_hole() as port:
        assert book(f"redis://127.0.0.1:{port}/0").needed("restart")
    assert "invalid username-password pair" in book(server.uri.replace(SECRET, "wrong")).unseen("restart")
    server.client.config_set("maxclients", 1)  # the one is our own
    try:
        assert "max number of clients" in book(server.uri).unseen("restart"), "others' values are in memory"
    finally:
        server.client.config_set("maxclients", 10_000)


def test_a_cache_to_which_only_the_checker_does_not_get_is_not_restarted() -> None:
    def book(uri: str) -> Acting:
        return Acting("cache-down", settings(probes__cache__uri=uri))

    assert "connecting to cache.invalid:6379" in book("redis://cache.invalid/0").unseen("restart")
    certificate = trustme.CA().issue_cert("localhost")
    with secure(certificate) as port:
        assert "certificate verify failed" in book(f"rediss://localhost:{port}/0").unseen("restart")
    led = Acting("cache-down", settings(probes__cache__uri="rediss://cache/0", probes__cache__via="127.0.0.1"))
    assert 'probes.cache.via "127.0.0.1" does not go with TLS' in led.unseen("restart")


@contextmanager
def secure(certificate: trustme.LeafCert) -> Iterator[int]:
    """The port of a server that shows CERTIFICATE to one who connects."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)

    def show() -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            context.wrap_socket(connection, server_side=True).close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        showing = threading.Thread(target=show)
        showing.start()
        yield int(listener.getsockname()[1])
        showing.join(10)


def test_memory_may_be_raised_as_far_as_the_settings_say_and_is_not_cut(server: RedisServer) -> None:
    told = {"facts__cache__memory_most": 2 * LIMIT}
    book = acting(server, "cache-memory", FULL, **told)
    assert book.needed("raise_limit")
    book.do("raise_limit")
    assert server.client.config_get("maxmemory")["maxmemory"] == str(2 * LIMIT)
    assert not book.needed("raise_limit"), "no further"
    assert not book.steps["raise_limit"].undo, "what it held before, or now, may not fit any more"
    server.client.config_set("maxmemory", LIMIT)
    assert not acting(server, "cache-memory", FULL).needed("raise_limit"), "by default nobody allows it"
    assert not acting(server, "cache-memory", "cache/capacity::evictions", **told).needed("raise_limit")


def test_a_policy_that_drops_queues_is_changed(server: RedisServer) -> None:
    book = acting(server, "cache-memory", "cache/capacity::memory_policy")
    assert not book.needed("policy")
    server.client.config_set("maxmemory-policy", "allkeys-random")
    assert book.needed("policy")
    book.do("policy")
    assert server.client.config_get("maxmemory-policy")["maxmemory-policy"] == "volatile-lru"
    assert not book.needed("drop_cached"), "the policy is no reason to delete anything"


def test_a_policy_that_keeps_a_full_cache_writable_stays(server: RedisServer) -> None:
    server.client.config_set("maxmemory-policy", "allkeys-lru")
    for number in range(800):
        server.client.set(f"cache:{number}", "x" * 90_000)  # without an expiry: volatile-lru would drop none of them
    server.client.set("session:1", "x", ex=600)
    assert server.client.info("stats")["evicted_keys"] > 0
    book = acting(server, "cache-memory", "cache/capacity::memory_policy", facts__cache__memory_most=2 * LIMIT)
    assert 'without "allkeys-lru" only what has an expiry would be dropped: 1 of ' in book.unseen("policy")
    assert server.client.set("value", "x" * 90_000)
    server.client.config_set("maxmemory", 2 * LIMIT)
    assert book.needed("policy"), "there is room: nothing has to be dropped"


def test_a_person_gets_room_before_the_policy_is_changed() -> None:
    names = list(Acting("cache-memory", settings()).steps)
    assert names.index("raise_limit") < names.index("policy")


def test_cached_values_are_dropped_and_sessions_and_queues_stay(server: RedisServer) -> None:
    server.client.set("cache:hog", "x" * 1000)
    server.client.set("session:1", "x")
    server.client.zadd("prediction:queue", {"job": 1.0})
    book = acting(server, "cache-memory", FULL)
    assert book.needed("drop_cached")
    book.do("drop_cached")
    assert sorted(server.client.keys()) == ["prediction:queue", "session:1"]


def test_what_a_person_would_look_at_is_shown(server: RedisServer, capfd: pytest.CaptureFixture[str]) -> None:
    server.client.set("cache:large", "x" * 5000)
    for runbook, step, words in (
        ("cache-memory", "memory", "maxmemory_policy: noeviction"),
        ("cache-memory", "largest", "bytes  cache:*: 1 keys, the largest "),
        ("cache-down", "state", "aof_enabled: 1"),
        ("cache-persistence", "state", "rdb_last_bgsave_status: ok"),
        ("cache-slow", "slow_commands", ""),
        ("cache-slow", "clients", "127.0.0.1:"),
    ):
        acting(server, runbook).do(step)
        assert words in capfd.readouterr().out


def test_who_is_logged_in_is_not_shown(server: RedisServer, capfd: pytest.CaptureFixture[str]) -> None:
    server.client.set("session:4711-is-a-cookie", "x" * 5000)
    server.client.set("f00dcafe", "somebody@example.org")
    server.client.set("f00dcafe:user", "somebody@example.org")
    server.client.rpush("celery", "task of somebody@example.org")
    server.client.config_set("slowlog-log-slower-than", 0)
    server.client.set("session:4711-is-a-cookie", "somebody@example.org")
    server.client.get("f00dcafe")
    acting(server, "cache-slow").do("slow_commands")
    acting(server, "cache-memory", FULL).do("largest")
    seen = capfd.readouterr().out
    for words in (
        "bytes  session:*: 1 keys",
        "bytes  celery: 1 keys",
        "bytes  others: 2 keys",
        "SET session:*",
        "GET\n",
    ):
        assert words in seen
    assert not [word for word in ("4711", "f00d", "somebody") if word in seen]

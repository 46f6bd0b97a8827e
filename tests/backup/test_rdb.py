"""Snapshots of a real server are counted; damaged ones are not taken for whole."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from pytest_runbook.backup import rdb
from pytest_runbook.errors import BackupError

from tests.probes.databases import SECRET, RedisServer


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One of every kind of value, in two databases."""
    folder = tmp_path_factory.mktemp("redis")
    server = RedisServer(folder)
    client = server.client
    for number in range(300):
        client.set(f"key{number}", "x" * number)
    client.set("number", 12345)
    client.set("negative", -7)
    client.set("expiring", "1", ex=10_000)
    client.set("letters", "abc" * 30_000)
    for size in (5, 3000):
        client.rpush(f"list{size}", *range(size))
        client.rpush(f"texts{size}", *(f"text {n}" * 20 for n in range(size)))
        client.sadd(f"numbers{size}", *range(size))
        client.sadd(f"set{size}", *(f"m{n}" for n in range(size)))
        client.zadd(f"sorted{size}", {f"m{n}": n / 3 for n in range(size)})
        client.hset(f"hash{size}", mapping={f"f{n}": "v" * 80 for n in range(size)})
        for n in range(size):
            client.xadd(f"stream{size}", {"n": n})
    client.xgroup_create("stream5", "group", 0)
    client.xreadgroup("group", "consumer", {"stream5": ">"}, count=3)
    client.hexpire("hash3000", 10_000, "f1")
    client.hexpire("hash5", 10_000, "f1")
    client.function_load("#!lua name=lib\nserver.register_function('f', function() return 1 end)")
    redis.Redis(port=server.port, password=SECRET, db=5).mset({f"k{n}": n for n in range(70)})
    client.save()
    yield folder / "dump.rdb"
    server.stop()


def test_keys_are_counted_by_database(snapshot: Path) -> None:
    seen = rdb.read(snapshot)
    assert seen.whole
    assert seen.keys == {"0": 300 + 4 + 2 * 7, "5": 70}
    assert seen.expires["0"] >= 1
    assert seen.version.startswith(("REDIS", "VALKEY"))
    assert seen.server


def fault(content: bytes, step: int = 1000) -> str:
    checksum = rdb.Checksum()
    for at in range(0, len(content), step):
        checksum.add(content[at : at + step])
    return checksum.fault()


@pytest.mark.parametrize("step", [1, 7, 8, 9, 1000, 10_000_000])
def test_the_checksum_is_that_of_the_server_however_it_comes(snapshot: Path, step: int) -> None:
    content = snapshot.read_bytes()
    assert fault(content[:100_000] if step == 1 else content, step) == ("" if step != 1 else fault(content[:100_000]))


def test_a_single_flipped_bit_is_seen(snapshot: Path) -> None:
    content = bytearray(snapshot.read_bytes())
    generator = random.Random(4)
    for _ in range(50):
        at = generator.randrange(rdb.HEADER, len(content))
        content[at] ^= 1 << generator.randrange(8)
        assert "damaged" in fault(bytes(content), 1 << 20)
        content = bytearray(snapshot.read_bytes())


@pytest.mark.parametrize("left", [0, 3, 9, 17, 1000, -1])
def test_one_that_is_cut_off_is_seen(snapshot: Path, tmp_path: Path, left: int) -> None:
    content = snapshot.read_bytes()[:left]
    assert fault(content)
    path = tmp_path / "cut.rdb"
    path.write_bytes(content)
    if 0 <= left <= 1000:
        with pytest.raises(BackupError) as caught:
            rdb.read(path)
        assert caught.value.reason == "not-a-dump"


def test_what_is_no_snapshot_is_told() -> None:
    assert "does not begin as a snapshot" in fault(b"<html>" + b"x" * 100)


def test_noise_never_hangs_or_crashes(tmp_path: Path) -> None:
    generator = random.Random(5)
    path = tmp_path / "noise.rdb"
    for _ in range(300):
        path.write_bytes(b"REDIS0011" + generator.randbytes(generator.randrange(200)))
        try:
            rdb.read(path)
        except BackupError as error:
            assert error.reason == "not-a-dump"

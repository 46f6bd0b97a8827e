"""The cache of a backup: the server sends its snapshot by the replication protocol, as to a replica."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

from pytest_runbook import clock
from pytest_runbook.backup import rdb
from pytest_runbook.backup.checksums import PIECE
from pytest_runbook.backup.manifest import CACHE, Cache
from pytest_runbook.errors import BackupError, StepFailed
from pytest_runbook.probes.redis import RedisSettings
from pytest_runbook.settings import Settings

MARK = 40
"""Bytes at which a snapshot ends whose size the server did not know when it began."""
SILENCE = 60.0
"""Seconds without a byte, not even the newlines that say that it is at work, after which the server is given up."""


def fetch(settings: Settings, folder: Path, stop: Event) -> Cache:
    """Write the snapshot of the cache of SETTINGS to FOLDER/cache.rdb, and say what is in it; give up at STOP."""
    import redis

    part, target = settings.backup.cache, folder / CACHE
    deadline = clock.monotonic() + part.timeout
    with _connected(settings, part.probe) as connection:
        try:
            info = _info(connection)
            connection.send_command("SYNC", check_health=False)
            with target.open("wb") as file:
                _receive(_Wire(connection, deadline, stop), file.write)
        except redis.RedisError as error:
            raise BackupError(f'"{part.probe}" does not send its snapshot: {error}{_hint(error)}') from None
        except (OSError, EOFError) as error:
            raise BackupError(f'"{part.probe}" stopped in the middle of its snapshot: {error}') from None
    if fault := _fault(target):
        raise BackupError(f'"{part.probe}" sent a snapshot that is none: {fault}', reason="not-a-dump")
    seen = rdb.read(target)
    # What cannot be counted in the snapshot is taken from what the server said just before.
    said = {
        key.removeprefix("db"): value for key, value in info.items() if key.startswith("db") and isinstance(value, dict)
    }
    keys = seen.keys if seen.whole else {**{number: int(value["keys"]) for number, value in said.items()}, **seen.keys}
    expires = seen.expires if seen.whole else {number: seen.expires.get(number, 0) for number in keys}
    name = "valkey" if info.get("server_name") == "valkey" or "valkey_version" in info else "redis"
    version = str(info.get("valkey_version") or info["redis_version"])
    return Cache(
        name,
        version,
        str(info["run_id"]),
        dict(sorted(keys.items())),
        dict(sorted(expires.items())),
        seen.replication or None,
    )


@contextmanager
def _connected(settings: Settings, probe: str) -> Iterator[Any]:  # redis-py's connections have no types
    """A connection of its own, which ends with the block: what has sent SYNC is a replica for the server."""
    import redis

    from pytest_runbook.runbooks import servers

    own = settings.probes[probe]
    if not isinstance(own, RedisSettings):
        raise BackupError(f'the probe "{probe}" is of kind "{own.kind}", not redis')
    try:
        pool = servers.cache(probe, own).connection_pool
    except StepFailed as error:
        raise BackupError(str(error)) from None
    connection: Any = pool.make_connection()
    try:
        connection.connect()
        yield connection
    except redis.RedisError as error:
        raise BackupError(f'"{probe}": {error}') from None
    finally:
        connection.disconnect()


def _info(connection: Any) -> dict[str, Any]:
    """What the server says of itself, and of its keys."""
    from redis._parsers.helpers import parse_info

    found: dict[str, Any] = {}
    for section in ("server", "keyspace"):
        connection.send_command("INFO", section)
        found |= parse_info(connection.read_response())  # type: ignore[no-untyped-call]
    return found


class _Wire:
    """The bytes that come after SYNC."""

    def __init__(self, connection: Any, deadline: float, stop: Event) -> None:
        self._socket: socket.socket = connection._sock
        self._socket.settimeout(1.0)
        self._deadline, self._stop = deadline, stop

    def some(self, size: int) -> bytes:
        """At most SIZE bytes, at least one."""
        if clock.monotonic() > self._deadline:
            raise EOFError("it took longer than backup.cache.timeout")
        silent = clock.monotonic()
        while not self._stop.is_set() and clock.monotonic() - silent < SILENCE:
            try:
                data = self._socket.recv(min(size, PIECE))
            except TimeoutError:
                continue
            if not data:
                raise EOFError("the connection was closed")
            return data
        raise EOFError("it was given up" if self._stop.is_set() else f"nothing came for {clock.duration(SILENCE)}")

    def line(self) -> bytes:
        """The next line that is not empty: empty ones say that the server is at work."""
        line = b""
        while not line.endswith(b"\n") or not line.strip():
            line = (b"" if line in (b"\n", b"\r\n") else line) + self.some(1)
            if len(line) > 4096:
                raise EOFError("an answer that is no snapshot")
        return line.strip()


def _receive(wire: _Wire, write: Any) -> None:
    """Give the payload of a snapshot to WRITE."""
    from redis.exceptions import ResponseError

    head = wire.line()
    if head.startswith(b"-"):
        raise ResponseError(head[1:].decode("utf-8", "replace"))
    if not head.startswith(b"$"):
        raise EOFError(f"an answer that is no snapshot: {head[:40]!r}")
    if not head.startswith(b"$EOF:"):
        left = int(head[1:])
        while left:
            piece = wire.some(left)
            write(piece)
            left -= len(piece)
        return
    mark, held = head[5 : 5 + MARK], b""
    while not held.endswith(mark):
        write(held[:-MARK])
        held = held[-MARK:] + wire.some(PIECE)
    write(held[:-MARK])


def _fault(path: Path) -> str:
    checksum = rdb.Checksum()
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            checksum.add(piece)
    return checksum.fault()


def _hint(error: Exception) -> str:
    return "\n  hint: allow it to the probe's user: ACL SETUSER NAME +sync" if "NOPERM" in str(error) else ""

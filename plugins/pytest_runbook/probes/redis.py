"""A Redis or Valkey server: memory, persistence, replication, keys and queues, and whether it keeps what it is given."""

from __future__ import annotations

import asyncio
import secrets
import statistics
from collections.abc import Awaitable, Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import Field, IPvAnyAddress, SecretStr

from pytest_runbook import clock
from pytest_runbook.errors import Unmeasured, Unreachable
from pytest_runbook.probes._address import led, public, unreachable
from pytest_runbook.probes._plain import plain
from pytest_runbook.probes._redis import Latency, Memory, Persistence, Replication, RoundTrip, replication
from pytest_runbook.probes.base import Probe, ProbeSettings

if TYPE_CHECKING:
    from redis.exceptions import RedisError

__all__ = ["Redis", "RedisSettings"]

T = TypeVar("T")
BATCH = 1000
"""Keys that one SCAN looks at: a few milliseconds of the server's single thread."""
PREFIX = "runbook:"
"""Of the keys that the probe itself writes."""
EXPIRY = 30
"""Seconds after which the server forgets such a key, should the probe die before deleting it."""
LENGTHS = {"list": "LLEN", "zset": "ZCARD", "stream": "XLEN", "set": "SCARD"}
"""Type of a key to the command that counts its items."""


class RedisSettings(ProbeSettings):
    """Where the server is: a URI, whose parts win, or its parts."""

    uri: SecretStr = SecretStr("")
    """`redis://user:password@host:port/db`, `rediss://…` with TLS, or `unix:///path?db=0`."""
    via: IPvAnyAddress | None = None
    """Address to connect to in place of the host, which only containers may know."""
    host: str = ""
    port: int = Field(default=6379, ge=1, le=65535)
    db: int = Field(default=0, ge=0)
    username: str = ""
    password: SecretStr = SecretStr("")
    ssl: bool = False
    ca_file: str = ""
    """Certificates of the authorities that are trusted; empty: the machine's own."""
    connect_timeout: float = Field(default=5.0, gt=0)
    """Seconds that connecting may take."""
    timeout: float = Field(default=5.0, gt=0)
    concurrency: int = 20


class Redis(Probe[RedisSettings]):
    """Questions to one Redis server (6 or later), or Valkey.

    Nothing is retried and no connection is mended behind the caller's back. Raises Unreachable when the server does not
    serve, Unmeasured when it refuses the password or the command.
    """

    kind = "redis"
    Settings = RedisSettings

    @property
    def configured(self) -> bool:
        """Whether the settings say where the server is."""
        return bool(self.settings.uri.get_secret_value() or self.settings.host)

    @property
    def target(self) -> str:
        """The server's address without user and password."""
        return public(self._uri) if self.configured else self.name

    async def close(self) -> None:
        """Close the connections."""
        if "_client" in vars(self):
            await self._client.aclose()

    async def ping(self) -> float:
        """Seconds of a round trip; connecting counts when no connection is open."""
        return await self._observed("ping", self._ping)

    async def latency(self, samples: int = 5, interval: float = 0.2) -> Latency:
        """Seconds of SAMPLES round trips, INTERVAL apart, connecting left out.

        One alone may have waited for this process, which is busy when all checks of a run begin, and not for the server.
        """

        async def call() -> Latency:
            await self._ping()
            seconds = []
            for _ in range(samples):
                await asyncio.sleep(interval)
                seconds.append(await self._ping())
            return Latency(statistics.median(seconds), max(seconds))

        return await self._observed(f"latency samples={samples}", call)

    async def info(self, section: str = "default") -> dict[str, Any]:
        """What INFO answers for SECTION, numbers as numbers."""
        return await self._observed(f"info {section}", lambda: self._info(section))

    async def memory(self) -> Memory:
        """Memory used, its limit, and what happens there."""

        async def call() -> Memory:
            info, stats = await self._info("memory"), await self._info("stats")
            return Memory(
                used=info["used_memory"],
                peak=info["used_memory_peak"],
                rss=info["used_memory_rss"],
                max=info["maxmemory"],
                policy=info["maxmemory_policy"],
                fragmentation=info["mem_fragmentation_ratio"],
                evicted=stats["evicted_keys"],
            )

        return await self._observed("memory", call)

    async def time(self) -> float:
        """The server's clock: seconds since 1970."""
        return await self._observed("time", self._time)

    async def loading(self) -> bool:
        """Whether it is still reading its data, and does not serve yet."""

        async def call() -> bool:
            return bool((await self._info("persistence"))["loading"])

        return await self._observed("loading", call)

    async def persistence(self) -> Persistence:
        """Snapshots and the append-only file."""

        async def call() -> Persistence:
            info, now = await self._info("persistence"), await self._time()
            return Persistence(
                rdb_ok=info["rdb_last_bgsave_status"] == "ok",
                rdb_age=max(now - info["rdb_last_save_time"], 0.0),
                rdb_changes=info["rdb_changes_since_last_save"],
                rdb_running=bool(info["rdb_bgsave_in_progress"]),
                aof_enabled=bool(info["aof_enabled"]),
                aof_ok=info["aof_last_write_status"] == info["aof_last_bgrewrite_status"] == "ok",
            )

        return await self._observed("persistence", call)

    async def replication(self) -> Replication:
        """The server's role, its replicas or its link to the primary."""

        async def call() -> Replication:
            return replication(await self._info("replication"))

        return await self._observed("replication", call)

    async def keys(self, pattern: str, limit: int = 1000) -> list[str]:
        """Keys that match PATTERN, at most LIMIT, found by SCAN in batches.

        Fewer than LIMIT means that these are all. Unmeasured when the time-out ends the search before that is known.
        """

        async def call() -> list[str]:
            found: dict[str, None] = {}  # SCAN may answer a key twice
            until, cursor, begun = clock.monotonic() + self.settings.timeout * 0.9, 0, False
            while len(found) < limit and (cursor or not begun):
                if clock.monotonic() > until:
                    raise Unmeasured(f'"{self.target}" has too many keys to search for "{pattern}" in time')
                begun = True
                cursor, batch = await self._client.scan(cursor, match=pattern, count=BATCH)
                found.update(dict.fromkeys(batch))
            return list(found)[:limit]

        return await self._observed(f"keys {pattern} limit={limit}", call)

    async def queue_length(self, name: str) -> int:
        """Items of the list, sorted set, set or stream NAME; 0 when there is none, for an empty queue has no key."""

        async def call() -> int:
            kind = await self._client.type(name)
            if kind == "none":
                return 0
            if kind not in LENGTHS:
                raise Unmeasured(f'key "{name}" of "{self.target}" is no queue but a {kind}')
            return int(await self._client.execute_command(LENGTHS[kind], name))

        return await self._observed(f"queue length {name}", call)

    async def config(self, name: str) -> str:
        """The server's value of setting NAME, as CONFIG GET answers it."""

        async def call() -> str:
            values = await self._client.config_get(name)
            if name not in values:
                raise Unmeasured(f'"{self.target}" has no setting "{name}"')
            return str(values[name])

        return await self._observed(f"config {name}", call)

    async def round_trip(self) -> RoundTrip:
        """Write a random key that expires, read it, delete it; a refusal of the server is an answer, not an exception."""

        async def call() -> RoundTrip:
            from redis.exceptions import NoPermissionError, ResponseError

            key, value, begun = f"{PREFIX}{secrets.token_hex(8)}", secrets.token_hex(8), clock.monotonic()
            try:
                await self._client.set(key, value, ex=EXPIRY)
                read = await self._client.get(key)
                error = "" if read == value else f"wrote a value and read {'none' if read is None else 'another'}"
                await self._client.delete(key)
            except NoPermissionError:
                raise
            except ResponseError as refusal:
                error = str(refusal)
            return RoundTrip(not error, error, clock.monotonic() - begun)

        return await self._observed("round trip", call)

    async def _observed(self, operation: str, call: Callable[[], Awaitable[T]]) -> T:
        return await self.observe(operation, lambda: self._translated(call), answer=plain)

    async def _translated(self, call: Callable[[], Awaitable[T]]) -> T:
        from redis.exceptions import RedisError  # late: redis costs a tenth of a second at start-up

        try:
            return await self.limited(call())
        except RedisError as error:
            raise self.explained(error) from None
        except (KeyError, TypeError) as error:
            raise Unmeasured(f'"{self.target}" gives an answer that cannot be read: {error!r} is missing') from None

    def explained(self, error: RedisError) -> Unmeasured:
        """What ERROR says: Unreachable when the server does not serve, Unmeasured when we may not or cannot see."""
        from redis import exceptions as known

        said = f'"{self.target}": {str(error)[:200]}'
        if isinstance(error, known.AuthenticationError | known.AuthorizationError):
            return Unmeasured(f"{said}\n  hint: see the user and the password of probes.{self.name}")
        if isinstance(error, known.NoPermissionError):
            return Unmeasured(f"{said}\n  hint: allow the command to this probe's user (ACL SETUSER)")
        if isinstance(error, known.ConnectionError | known.TimeoutError):
            return unreachable(self._uri, error, self.settings.timeout) or Unreachable(said)
        return Unmeasured(said)

    async def _ping(self) -> float:
        begun = clock.monotonic()
        await self._client.ping()
        return clock.monotonic() - begun

    async def _time(self) -> float:
        seconds, microseconds = await self._client.time()  # INFO tells it since 6.2 only
        return float(seconds + microseconds / 1e6)

    async def _info(self, section: str) -> dict[str, Any]:
        return dict(await self._client.info(section))

    @property
    def _uri(self) -> str:
        s = self.settings
        host = f"[{s.host}]" if ":" in s.host else s.host
        uri = s.uri.get_secret_value() or f"redis{'s' if s.ssl else ''}://{host}:{s.port}/{s.db}"
        return led(uri, s.via) if s.via else uri

    @property
    def address(self) -> tuple[str, dict[str, Any]]:
        """URI and options for a client of redis-py, the password among them; Unmeasured when the settings do not say where."""
        from redis.connection import parse_url

        s = self.settings
        if not self.configured:
            raise Unmeasured(
                f'probe "{self.name}" has no server\n  hint: set probes.{self.name}.uri or probes.{self.name}.host'
            )
        options: dict[str, Any] = {"socket_timeout": s.timeout, "socket_connect_timeout": s.connect_timeout}
        options |= {"protocol": 2, "decode_responses": True, "encoding_errors": "backslashreplace"}
        options |= {"username": s.username or None, "password": s.password.get_secret_value() or None}
        secure = self._uri.startswith("rediss:")
        if secure and s.via:  # redis-py compares the certificate with where it connects to
            raise Unmeasured(
                f'probes.{self.name}.via "{s.via}" does not go with TLS: the certificate is compared with the host\n'
                "  hint: have this machine resolve the host, as in /etc/hosts, and leave via out"
            )
        if secure and s.ca_file:
            options["ssl_ca_certs"] = s.ca_file
        try:
            parse_url(self._uri)  # type: ignore[no-untyped-call]
        except ValueError:
            raise Unmeasured(
                f"probes.{self.name}.uri is no Redis URI\n  hint: redis://USER:PASSWORD@HOST:PORT/DB, special characters as %XX"
            ) from None
        return self._uri, options

    @cached_property
    def _client(self) -> Any:  # the library's types say bytes or None where ours decodes
        from redis.asyncio import ConnectionPool
        from redis.asyncio import Redis as Client
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        uri, options = self.address
        return Client.from_pool(ConnectionPool.from_url(uri, retry=Retry(NoBackoff(), 0), **options))

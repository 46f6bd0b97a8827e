"""What a Redis server tells of itself, as checks compare it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes, and what happens when they run out."""

    used: int
    peak: int
    rss: int
    """What the operating system gave."""
    max: int
    """`maxmemory`; 0: the server sets itself no limit."""
    policy: str
    """`maxmemory_policy`: `noeviction` refuses writes when full, the others drop keys."""
    fragmentation: float
    """`rss` per `used`; large values mean nothing on a small server."""
    evicted: int
    """Keys dropped for want of memory since the server started."""

    @property
    def fraction(self) -> float | None:
        """Used of the limit, 0..1; None when there is no limit."""
        return self.used / self.max if self.max else None


@dataclass(frozen=True, slots=True)
class Persistence:
    """Whether what the server holds would survive it."""

    rdb_ok: bool
    """The last snapshot succeeded; true as well when there never was one."""
    rdb_age: float
    """Seconds since the last snapshot that succeeded, or since the start, by the server's clock."""
    rdb_changes: int
    """Changes since then."""
    rdb_running: bool
    aof_enabled: bool
    aof_ok: bool
    """The last write to the append-only file and its last rewrite succeeded; true as well when it is off."""


@dataclass(frozen=True, slots=True)
class Replica:
    """One replica, as its primary sees it."""

    address: str
    state: str
    """`online` when all is well; `wait_bgsave`, `send_bulk`."""
    lag: float
    """Seconds since it last reported, about one when all is well."""
    lag_bytes: int


@dataclass(frozen=True, slots=True)
class Replication:
    """Replication as this server sees it."""

    role: str
    """`primary` or `replica`."""
    replicas: tuple[Replica, ...]
    link: str
    """Of a replica: `up` or `down`; empty on a primary."""
    silence: float | None
    """Of a replica: seconds since the primary was last heard, up to ten on a quiet system; None while the link is down."""
    down: float | None
    """Of a replica: seconds since the link broke; None while it is up, or when it never was."""
    syncing: bool
    """Of a replica: it is copying everything."""
    lag_bytes: int | None
    """Of a replica: received and not yet applied."""


@dataclass(frozen=True, slots=True)
class Latency:
    """How long PING took, asked a few times; seconds."""

    median: float
    worst: float


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """Whether a value written was read back."""

    ok: bool
    error: str
    """What the server said when it refused, for example that it is read-only or out of memory."""
    seconds: float


def replication(info: Mapping[str, Any]) -> Replication:
    """What INFO replication tells."""
    replica, offset = info["role"] == "slave", info["master_repl_offset"]
    found = (info[f"slave{number}"] for number in range(info["connected_slaves"]) if f"slave{number}" in info)
    applied = info.get("slave_repl_offset", 0)
    down = info.get("master_link_down_since_seconds", -1)
    silence = info.get("master_last_io_seconds_ago", -1)
    return Replication(
        "replica" if replica else "primary",
        tuple(
            Replica(f"{one['ip']}:{one['port']}", one["state"], float(one["lag"]), max(offset - one["offset"], 0))
            for one in found
        ),
        str(info.get("master_link_status", "")),
        float(silence) if silence >= 0 else None,
        float(down) if down >= 0 else None,
        bool(info.get("master_sync_in_progress", 0)),
        max(info.get("slave_read_repl_offset", applied) - applied, 0) if replica else None,
    )

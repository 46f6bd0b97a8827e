"""How far PostgreSQL's standbys are behind, seen from either side; lags are seconds and bytes of WAL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pytest_runbook.errors import Unmeasured


@dataclass(frozen=True, slots=True)
class Standby:
    """One server that replays this one's WAL, as this one sees it."""

    name: str
    """application_name of its connection."""
    client: str
    state: str
    """`streaming` when all is well; `startup`, `catchup`."""
    sync: str
    """`async`, `sync`, `quorum`, `potential`."""
    lag: float | None
    """Seconds until a change here is visible there; 0 when it has everything; None when the server cannot tell."""
    lag_bytes: int | None
    """WAL that it has not replayed."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A replication slot: it keeps WAL for its reader, also when that never comes back, until the disk is full."""

    name: str
    kind: str
    """`physical` or `logical`."""
    active: bool
    retained: int
    """Bytes of WAL that it keeps."""
    status: str
    """`reserved`, `extended`, `unreserved`, `lost`."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """A standby's own view of its replication."""

    state: str
    """`streaming` when all is well; empty when no WAL receiver runs: it is cut off."""
    silence: float | None
    """Seconds since the primary was last heard, half a minute on a quiet system; None without a receiver."""
    lag: float | None
    """Seconds that it is behind; see `Replication.lag`. None when it has replayed no transaction since its start."""
    lag_bytes: int | None
    """WAL received and not replayed."""
    paused: bool
    """Replay was paused by someone."""


@dataclass(frozen=True, slots=True)
class Replication:
    """Replication as this server sees it."""

    standbys: tuple[Standby, ...]
    """Readers that replay; base backups and pg_receivewal do not."""
    slots: tuple[Slot, ...]
    receiver: Receiver | None
    """None on a primary."""

    @property
    def in_recovery(self) -> bool:
        """Whether this server is a standby."""
        return self.receiver is not None

    @property
    def lag(self) -> float:
        """Seconds: on a standby its own, on a primary its worst standby's. Raises Unmeasured when it cannot be told.

        A standby that streams and has replayed everything it received is at 0, however old the last transaction is. A
        standby that is cut off counts from the last transaction it replayed, for it cannot know what it missed. That
        time stamp is the primary's: the two clocks must agree.
        """
        lags = [self.receiver.lag] if self.receiver else [standby.lag for standby in self.standbys]
        known = [lag for lag in lags if lag is not None]
        if not lags:
            raise Unmeasured("no standby is connected: there is no replication lag to tell")
        if len(known) < len(lags):
            raise Unmeasured("a standby is behind, and no transaction tells by how many seconds")
        return max(known)


# In CASE, because some of these functions are errors on a server of the other role, and because greatest() of an unknown
# lag and 0 would be 0.
STANDBYS = """
WITH here AS (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END AS lsn)
SELECT /* pytest-runbook */ coalesce(application_name, '') AS name, coalesce(host(client_addr), 'local') AS client,
       state, coalesce(sync_state, '') AS sync,
       CASE WHEN replay_lsn IS NOT NULL THEN greatest(pg_wal_lsn_diff(here.lsn, replay_lsn), 0) END::bigint AS lag_bytes,
       CASE WHEN replay_lsn >= here.lsn THEN 0 ELSE extract(epoch FROM replay_lag) END::float8 AS lag
FROM pg_stat_replication, here
WHERE state IS NULL OR state <> 'backup' AND NOT (state = 'streaming' AND replay_lsn IS NULL AND flush_lsn IS NOT NULL)
ORDER BY 1, 2
"""
SLOTS = """
SELECT /* pytest-runbook */ slot_name AS name, slot_type AS kind, active, coalesce(wal_status, '') AS status,
       coalesce(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END,
                restart_lsn), 0)::bigint AS retained
FROM pg_replication_slots ORDER BY 1
"""
RECEIVER = """
SELECT /* pytest-runbook */ pg_is_in_recovery() AS in_recovery,
       pg_wal_lsn_diff(pg_last_wal_receive_lsn(), '0/0')::bigint AS received,
       pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0')::bigint AS replayed,
       CASE WHEN pg_last_xact_replay_timestamp() IS NOT NULL
            THEN greatest(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()), 0) END::float8 AS age,
       CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() ELSE false END AS paused,
       w.pid IS NOT NULL AS running, w.status AS state,
       extract(epoch FROM clock_timestamp() - w.last_msg_receipt_time)::float8 AS silence
FROM (SELECT 1) one LEFT JOIN pg_stat_wal_receiver w ON true
"""


def behind(row: Mapping[str, Any], first: Mapping[str, Any]) -> bool:
    """Whether the standby has, at ROW of `RECEIVER`, not yet replayed what it had received at row FIRST."""
    return first["received"] is not None and row["replayed"] < first["received"]


def receiver(row: Mapping[str, Any], caught_up: float | None) -> Receiver:
    """The receiver that ROW of `RECEIVER` describes; CAUGHT_UP: seconds it took to replay all it had, None if it did not."""
    streaming = row["state"] == "streaming"
    return Receiver(
        row["state"] or "",
        row["silence"],
        caught_up if streaming and caught_up is not None else row["age"],
        None if row["received"] is None else max(row["received"] - row["replayed"], 0),
        row["paused"],
    )

"""Who is connected to PostgreSQL, what each session does, and which wait for a lock; ages are seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_runbook.naming import SESSION

HIDDEN = "<insufficient privilege>"
"""What the server shows in place of the statement of a session that the role may not see."""


@dataclass(frozen=True, slots=True)
class Session:
    """One client's session, of pg_stat_activity."""

    pid: int
    database: str
    username: str
    application: str
    client: str
    """Address of the client, or `local`."""
    state: str
    """`active`, `idle`, `idle in transaction`, `idle in transaction (aborted)`, …"""
    wait: str
    """What it waits for, `TYPE: EVENT`, for example `Lock: transactionid`; empty when it computes."""
    age: float
    """Since it connected."""
    state_age: float
    """Since it is in this state."""
    query_age: float | None
    """Since its last statement began; None when it sent none."""
    transaction_age: float | None
    """Since its transaction began; None outside of one."""
    query: str
    """The last statement's first 200 characters, `?` for each value, for those are users' data; empty of an idle session."""

    @property
    def ours(self) -> bool:
        """Whether it is a check, a step, a backup or a restore of ours, which may work for hours."""
        return self.application.startswith(SESSION)


ACTIVITY = """
SELECT /* pytest-runbook */ pid, coalesce(datname, '') AS database, coalesce(usename, '') AS username,
       coalesce(application_name, '') AS application, coalesce(host(client_addr), 'local') AS client,
       coalesce(state, '') AS state, concat_ws(': ', wait_event_type, wait_event) AS wait,
       coalesce(extract(epoch FROM clock_timestamp() - backend_start), 0)::float8 AS age,
       greatest(coalesce(extract(epoch FROM clock_timestamp() - state_change), 0), 0)::float8 AS state_age,
       extract(epoch FROM clock_timestamp() - query_start)::float8 AS query_age,
       extract(epoch FROM clock_timestamp() - xact_start)::float8 AS transaction_age,
       CASE WHEN state = 'idle' THEN '' ELSE left(coalesce(query, ''), 200) END AS query
FROM pg_stat_activity
WHERE pid <> pg_backend_pid() AND (backend_type = 'client backend' OR backend_type IS NULL AND datid IS NOT NULL)
ORDER BY xact_start, backend_start
"""  # the type of a session that the role may not see is hidden as well

CONNECTIONS = """
SELECT /* pytest-runbook */ coalesce(state, '') AS state, coalesce(application_name, '') AS application,
       coalesce(usename, '') AS username, count(*) AS sessions,
       CASE WHEN bool_or(query = '<insufficient privilege>') THEN '<insufficient privilege>' ELSE '' END AS query,
       current_setting('max_connections')::int AS most,
       current_setting('superuser_reserved_connections')::int
       + coalesce(current_setting('reserved_connections', true), '0')::int AS reserved
FROM pg_stat_activity
WHERE backend_type = 'client backend' OR backend_type IS NULL AND datid IS NOT NULL
GROUP BY 1, 2, 3
"""


@dataclass(frozen=True, slots=True)
class Connections:
    """How many connections clients hold, the probe's own among them."""

    used: int
    max: int
    """`max_connections`."""
    reserved: int
    """Of these, kept for superusers and for roles with pg_use_reserved_connections."""
    by_state: dict[str, int]
    by_application: dict[str, int]
    """Per application_name; the empty name is `unnamed`."""
    by_username: dict[str, int]

    @property
    def available(self) -> int:
        """Connections that ordinary clients can have at most."""
        return self.max - self.reserved

    @property
    def fraction(self) -> float:
        """Used ones of the available ones, 0..1 and above when reserved ones are in use."""
        return self.used / self.available


def connections_of(rows: Sequence[Mapping[str, Any]]) -> Connections:
    """Sum the ROWS of `CONNECTIONS`."""

    def per(column: str) -> dict[str, int]:
        sums: dict[str, int] = {}
        for row in rows:
            name = row[column] or "unnamed"
            sums[name] = sums.get(name, 0) + row["sessions"]
        return sums

    used, most, reserved = sum(row["sessions"] for row in rows), rows[0]["most"], rows[0]["reserved"]
    return Connections(used, most, reserved, per("state"), per("application"), per("username"))


@dataclass(frozen=True, slots=True)
class Blocked:
    """A session that waits for a lock."""

    pid: int
    by: tuple[int, ...]
    """Process ids of the sessions that hold what it wants."""
    age: float
    """Seconds that it has waited."""
    query: str
    """As `Session.query`."""


@dataclass(frozen=True, slots=True)
class Locks:
    """Sessions that wait for locks, longest wait first."""

    blocked: tuple[Blocked, ...]

    @property
    def oldest(self) -> float:
        """Seconds of the longest wait, 0 when nobody waits."""
        return max((session.age for session in self.blocked), default=0.0)


# `waitstart` came with 14; before, the wait is as old as the statement, at most.
LOCKS = """
SELECT /* pytest-runbook */ pid, pg_blocking_pids(pid) AS by, left(coalesce(query, ''), 200) AS query,
       greatest(coalesce(extract(epoch FROM clock_timestamp() - coalesce(
           (SELECT min((to_jsonb(l) ->> 'waitstart')::timestamptz) FROM pg_locks l WHERE l.pid = a.pid AND NOT granted),
           query_start)), 0), 0)::float8 AS age
FROM pg_stat_activity a
WHERE wait_event_type = 'Lock' OR query = '<insufficient privilege>'
ORDER BY age DESC
"""

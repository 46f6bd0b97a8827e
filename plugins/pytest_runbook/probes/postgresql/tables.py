"""What lies in a PostgreSQL database: tables, how well they are kept, and their sizes in bytes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Table:
    """One table of the application (system tables are left out), of pg_stat_user_tables."""

    schema: str
    name: str
    partitioned: bool
    """Only the parent of others: it holds no rows and is not vacuumed."""
    live: int
    """Rows, as the statistics estimate them."""
    dead: int
    """Rows that wait for a vacuum."""
    modified: int
    """Rows changed since the last analyze."""
    vacuumed: datetime | None
    """By a person or automatically, whichever came last; None: not since the statistics were reset."""
    analyzed: datetime | None
    vacuum_age: float | None
    """Seconds since `vacuumed`, by the server's clock."""
    analyze_age: float | None


TABLES = """
SELECT /* pytest-runbook */ schemaname AS schema, s.relname AS name, c.relkind = 'p' AS partitioned,
       n_live_tup AS live, n_dead_tup AS dead, n_mod_since_analyze AS modified,
       greatest(last_vacuum, last_autovacuum) AS vacuumed, greatest(last_analyze, last_autoanalyze) AS analyzed,
       extract(epoch FROM clock_timestamp() - greatest(last_vacuum, last_autovacuum))::float8 AS vacuum_age,
       extract(epoch FROM clock_timestamp() - greatest(last_analyze, last_autoanalyze))::float8 AS analyze_age
FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid
ORDER BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes on disk."""

    database: int
    tables: dict[str, int]
    """Per `SCHEMA.TABLE`, with indexes and TOAST, largest first."""


DATABASE_SIZE = "SELECT /* pytest-runbook */ pg_database_size(current_database()) AS bytes"
TABLE_SIZES = """
SELECT /* pytest-runbook */ schemaname || '.' || relname AS name, coalesce(pg_total_relation_size(relid), 0) AS bytes
FROM pg_stat_user_tables ORDER BY bytes DESC
"""

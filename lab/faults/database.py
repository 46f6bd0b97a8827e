"""What can be wrong with PostgreSQL."""

from __future__ import annotations

import sys

from lab import home
from lab.faults import fault
from lab.lab import Lab
from lab.servers import REPOSITORY

SLOW_CLIENT = """
import os, psycopg
with psycopg.connect(os.environ["LAB_URI"], autocommit=True) as connection:
    while True:
        connection.execute("SELECT pg_sleep(0.3)")
"""


CUT_OFF = ["database/*", "host/consistency::clocks_agree", "web/availability::ready_to_serve"]
"""Checks that see nothing, or see their own service fail, without the database."""
CACHED = ["web/availability::page_opens[/]", "web/errors::*", "web/performance::*"]
"""Checks of pages that are served out of the cache for some seconds, and wait for the database about as long as they may."""


@fault(
    "database-stopped",
    service="database",
    fails=["database/availability::answers"],
    blocks=[*CUT_OFF, "standby/availability::follows_the_primary", "standby/freshness::replication_lag"],
    may_block=CACHED,
    root="database/availability::answers",
)
def stopped(lab: Lab) -> None:
    """PostgreSQL does not run."""
    lab.stop_process("database")


@fault(
    "database-black-hole",
    service="database",
    fails=["database/availability::answers"],
    blocks=CUT_OFF,
    may_block=CACHED,
    root="database/availability::answers",
)
def black_hole(lab: Lab) -> None:
    """PostgreSQL accepts connections and never answers."""
    lab.toxic("database", "timeout")


@fault(
    "database-read-only",
    service="database",
    fails=["database/availability::accepts_writes"],
    may_block=["web/errors::*"],
    root="database/availability::accepts_writes",
)
def read_only(lab: Lab) -> None:
    """Somebody switched PostgreSQL to read-only."""
    # Undone in reverse: the setting first, and then the server is told.
    lab.sql("SELECT pg_reload_conf()", undo="SELECT pg_reload_conf()")
    lab.sql(
        "ALTER SYSTEM SET default_transaction_read_only = on", undo="ALTER SYSTEM RESET default_transaction_read_only"
    )
    lab.sql("SELECT pg_reload_conf()")


@fault("database-table-missing", service="database", fails=["database/consistency::tables_are_there"])
def table_missing(lab: Lab) -> None:
    """A table that the application needs is gone."""
    lab.sql("ALTER TABLE prediction_archive RENAME TO gone", undo="ALTER TABLE gone RENAME TO prediction_archive")


@fault("database-table-unreadable", service="database", fails=["database/consistency::tables_are_there"])
def table_unreadable(lab: Lab) -> None:
    """The application's role has lost its right to a table."""
    lab.sql(
        "ALTER TABLE prediction_archive OWNER TO postgres", undo="ALTER TABLE prediction_archive OWNER TO nightscan"
    )


@fault(
    "database-migration-diverged",
    service="database",
    fails=["database/consistency::migrations_are_applied"],
    schedule="predeploy",
)
def migration_diverged(lab: Lab) -> None:
    """Two branches of migrations were applied: the database records two revisions."""
    lab.sql(
        "INSERT INTO alembic_version VALUES ('000000000000')",
        undo="DELETE FROM alembic_version WHERE version_num = '000000000000'",
    )


@fault(
    "database-connections-exhausted",
    service="database",
    fails=["database/capacity::connections", "database/capacity::pool"],
)
def connections_exhausted(lab: Lab) -> None:
    """A client opens transactions until hardly a connection is left."""
    used, available = lab.sql(
        """
        SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')::int,
               current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
        """
    )[0]
    # A few are left: the checks must see it, and the services go on.
    lab.hold_sessions("BEGIN", available - used - 4)


@fault("database-pool-exhausted", service="database", fails=["database/capacity::pool"])
def pool_exhausted(lab: Lab) -> None:
    """The application holds as many transactions open as its pools have connections; the server has more."""
    lab.hold_sessions("BEGIN", 20)


@fault("database-slot-forgotten", service="database", fails=["database/capacity::slots_keep_little_wal"])
def slot_forgotten(lab: Lab) -> None:
    """A replication slot whose reader never came back keeps the log of all that was written since.

    The limit is lowered to 16 MiB meanwhile: nobody wants to wait for gigabytes.
    """
    lab.change_setting("limits.database.slot_wal", 16 * 2**20)
    lab.sql(
        "SELECT pg_create_physical_replication_slot('forgotten', true)",
        undo="SELECT pg_drop_replication_slot('forgotten')",
    )
    lab.sql("SELECT pg_logical_emit_message(false, 'fault', repeat('x', 1000000)) FROM generate_series(1, 20)")


@fault("database-slow", service="database", fails=["database/performance::query_time_p95"])
def slow(lab: Lab) -> None:
    """Every second query takes a third of a second."""
    environment = {"LAB_URI": home.database_uri(lab.site), "PYTHONPATH": str(REPOSITORY)}
    for _ in range(4):
        lab.spawn(sys.executable, "-c", SLOW_CLIENT, environment=environment)


@fault(
    "database-statements-unseen",
    service="database",
    fails=["database/performance::query_time_p95"],
)
def statements_unseen(lab: Lab) -> None:
    """pg_stat_statements is gone: how long queries take cannot be told, which is not the same as quick."""
    lab.sql("DROP EXTENSION pg_stat_statements", undo="CREATE EXTENSION IF NOT EXISTS pg_stat_statements")


@fault(
    "database-unmonitored",
    service="database",
    fails=[
        "database/capacity::slots_keep_little_wal",
        "database/performance::nobody_waits_for_a_lock",
        "database/performance::query_time_p95",
        "standby/availability::follows_the_primary",
    ],
    blocks=["standby/freshness::replication_lag"],
    root="standby/availability::follows_the_primary",
)
def unmonitored(lab: Lab) -> None:
    """The role of the checks may not see what others do: nothing that depends on it may pass."""
    lab.sql("REVOKE pg_monitor FROM nightscan", undo="GRANT pg_monitor TO nightscan")


@fault("database-long-transaction", service="database", fails=["database/performance::no_long_transaction"])
def long_transaction(lab: Lab) -> None:
    """A query runs for hours; the limit is lowered to a second meanwhile, so that an hour need not pass."""
    lab.change_setting("limits.database.transaction_age", 1)
    lab.hold_sessions("SELECT pg_sleep(36000)")


@fault("database-forgotten-transaction", service="database", fails=["database/performance::no_forgotten_transaction"])
def forgotten_transaction(lab: Lab) -> None:
    """A session began a transaction and was forgotten; the limit is lowered to a second meanwhile."""
    lab.change_setting("limits.database.idle_in_transaction_age", 1)
    lab.hold_sessions("BEGIN")


@fault("database-lock-held", service="database", fails=["database/performance::nobody_waits_for_a_lock"])
def lock_held(lab: Lab) -> None:
    """A session waits for the lock of another one; the limit is lowered to a second meanwhile."""
    lab.change_setting("limits.database.lock_wait", 1)
    lab.hold_sessions("BEGIN; LOCK TABLE data_retention_log IN SHARE UPDATE EXCLUSIVE MODE", 2)


@fault("database-not-analysed", service="database", fails=["database/freshness::tables_are_analyzed"])
def not_analysed(lab: Lab) -> None:
    """A table that autovacuum leaves out was filled and never analysed."""
    lab.sql(
        "CREATE TABLE import_of_yesterday WITH (autovacuum_enabled = false) AS SELECT generate_series(1, 1000) AS n",
        undo="DROP TABLE IF EXISTS import_of_yesterday",
    )


@fault(
    "database-index-broken",
    service="database",
    fails=["database/consistency::indexes_are_whole"],
    schedule="monthly",
    outcome="remediated",
)
def index_broken(lab: Lab) -> None:
    """Rebuilding an index failed half-way, and left it behind."""
    lab.sql(
        "CREATE INDEX detection_species_ccnew ON detection (species)",
        undo="DROP INDEX IF EXISTS detection_species_ccnew",
    )
    lab.sql("ALTER INDEX detection_species_ccnew OWNER TO nightscan")
    lab.sql("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'detection_species_ccnew'::regclass")


@fault(
    "database-index-bloated",
    service="database",
    fails=["database/capacity::indexes_are_dense"],
    schedule="monthly",
    outcome="remediated",
)
def index_bloated(lab: Lab) -> None:
    """Nearly all rows of a table were deleted, and its index is as large as before; the limit is lowered to a megabyte."""
    lab.change_setting("limits.database.index_size", 2**20)
    lab.sql(
        "CREATE TABLE import_of_last_year AS SELECT md5(n::text) AS name FROM generate_series(1, 40000) AS n",
        undo="DROP TABLE IF EXISTS import_of_last_year",
    )
    lab.sql("ALTER TABLE import_of_last_year OWNER TO nightscan")
    lab.sql("CREATE INDEX import_of_last_year_name ON import_of_last_year (name)")
    lab.sql("DELETE FROM import_of_last_year WHERE name > '1'")
    lab.sql("VACUUM ANALYZE import_of_last_year")

"""What can be wrong with PostgreSQL."""

from __future__ import annotations

import sys

from lab import home
from lab.faults import fault
from lab.lab import Lab
from lab.servers import REPOSITORY
from lab.servers.postgresql import INDEXES, ROLE

SLOW_CLIENT = """
import os, psycopg
with psycopg.connect(os.environ["LAB_URI"], autocommit=True) as connection:
    while True:
        connection.execute("SELECT pg_sleep(0.3)")
"""


READING = """
import os, psycopg, time
with psycopg.connect(os.environ["LAB_URI"], autocommit=True) as connection:
    while True:
        connection.execute("SELECT id FROM prediction WHERE user_id = 0 ORDER BY created_at DESC LIMIT 10", prepare=False)
        time.sleep(0.02)
"""
UNCHECKED = "SET session_replication_role = replica"
"""No foreign key is looked at: what takes seconds else takes one."""

ANSWERS = "database/availability::answers"
QUERY_TIME = "database/performance::query_time_p95"
LOCKS = "database/performance::nobody_waits_for_a_lock"
FORGOTTEN = "database/performance::no_forgotten_transaction"
SLOTS = "database/capacity::slots_keep_little_wal"
UNSEEN = ["database/*", "host/consistency::clocks_agree", "configuration/consistency::pools_fit_the_database"]
"""Checks that see nothing without the database."""
CUT_OFF = [*UNSEEN, "web/availability::ready_to_serve"]
"""Checks that see nothing, or see their own service fail, without the database."""
CACHED = ["web/availability::page_opens[/]", "web/errors::*", "web/performance::*"]
"""Checks of pages that are served out of the cache for some seconds, and wait for the database about as long as they may."""


@fault(
    "database-stopped",
    service="database",
    fails=[ANSWERS],
    blocks=[*CUT_OFF, "standby/availability::follows_the_primary", "standby/freshness::replication_lag"],
    may_block=CACHED,
    root=ANSWERS,
)
def stopped(lab: Lab) -> None:
    """PostgreSQL does not run."""
    lab.stop_process("database")


@fault(
    "database-and-web",
    service="database",
    fails=[ANSWERS],
    blocks=[
        *CUT_OFF,
        "standby/availability::follows_the_primary",
        "standby/freshness::replication_lag",
        "web/availability::health_endpoint_answers",
        "web/version::version_served_is_the_version_deployed",
        "proxy/availability::leads_to_the_web_service",
    ],
    may_block=CACHED,
    root=ANSWERS,
    behind=["web/availability::health_endpoint_answers"],
)
def and_web(lab: Lab) -> None:
    """PostgreSQL does not run, and behind that the web service is stuck: with the database back it still is not well."""
    lab.stop_process("database")
    lab.confuse("web", body={"path": "/health", "json": {"status": "unhealthy"}})


@fault(
    "database-frozen",
    service="database",
    fails=[ANSWERS],
    blocks=UNSEEN,
    may_block=["web/availability::ready_to_serve", "standby/*", *CACHED],
    root=ANSWERS,
)
def frozen(lab: Lab) -> None:
    """PostgreSQL accepts connections and never answers; those that were open go on."""
    lab.pause("database", children=False)


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


@fault("database-table-missing", service="database", fails=["database/consistency::tables_are_there"], outcome="person")
def table_missing(lab: Lab) -> None:
    """A table that the application needs is gone."""
    back = "ALTER TABLE IF EXISTS gone RENAME TO prediction_archive"
    lab.sql("ALTER TABLE prediction_archive RENAME TO gone", undo=back)


@fault(
    "database-table-unreadable", service="database", fails=["database/consistency::tables_are_there"], outcome="person"
)
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
    outcome="person",
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
    fails=["database/capacity::connections", "database/capacity::pool", FORGOTTEN],
)
def connections_exhausted(lab: Lab) -> None:
    """A client opens transactions and forgets them, until hardly a connection is left; that they are old is by the limit."""
    lab.change_setting("limits.database.idle_in_transaction_age", 1)
    used, available = lab.sql(
        """
        SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')::int,
               current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
        """
    )[0]
    # A few are left: the checks must see it, and the services go on.
    lab.hold_sessions("BEGIN", available - used - 4)


@fault("database-pool-exhausted", service="database", fails=["database/capacity::pool"], outcome="person")
def pool_exhausted(lab: Lab) -> None:
    """A client holds as many transactions open as the application's pools have connections; the server has more."""
    lab.hold_sessions("BEGIN", 20)


@fault("database-slot-forgotten", service="database", fails=[SLOTS], outcome="person")
def slot_forgotten(lab: Lab) -> None:
    """A replication slot whose reader never came back keeps the log of all that was written since.

    The limit is lowered to 16 MiB meanwhile: nobody wants to wait for gigabytes.
    """
    lab.change_setting("limits.database.slot_wal", 16 * 2**20)
    lab.sql(
        "SELECT pg_create_physical_replication_slot('forgotten', true)",
        undo="SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = 'forgotten'",
    )
    _write_much(lab)


@fault(
    "database-slot-stuck",
    service="database",
    fails=[SLOTS, "standby/availability::answers"],
    blocks=["standby/availability::follows_the_primary", "standby/freshness::replication_lag"],
    root="standby/availability::answers",
)
def slot_stuck(lab: Lab) -> None:
    """The standby does not run, and its slot keeps the log of all that was written since; the limit is lowered as above."""
    lab.change_setting("limits.database.slot_wal", 16 * 2**20)
    lab.stop_process("standby")
    _write_much(lab)


@fault("database-index-missing", service="database", fails=[QUERY_TIME])
def index_missing(lab: Lab) -> None:
    """The index is gone by which the application finds a user's recordings, and there are many of them.

    A laptop reads a hundred thousand rows in no time: the limit is lowered to ten milliseconds meanwhile.
    """
    lab.change_setting("limits.database.query_time_p95", 0.01)
    lab.sql("SELECT 1", undo=f"{UNCHECKED}; DELETE FROM prediction WHERE filename = 'lab-fault'")
    lab.sql(
        f"{UNCHECKED}; INSERT INTO prediction (user_id, filename, file_size) SELECT min(id), 'lab-fault', 1"
        ' FROM "user", generate_series(1, 150000) AS number GROUP BY number'
    )
    lab.sql("ANALYZE prediction")
    _forget_afterwards(lab)
    lab.sql("DROP INDEX prediction_user_created", undo=f"CREATE INDEX IF NOT EXISTS {INDEXES[0]}")
    environment = {"LAB_URI": home.database_uri(lab.site), "PYTHONPATH": str(REPOSITORY)}
    lab.spawn(sys.executable, "-c", READING, environment=environment)


@fault("database-lock-storm", service="database", fails=[LOCKS, FORGOTTEN])
def lock_storm(lab: Lab) -> None:
    """Eight sessions wait for the lock of one that was forgotten; the limits are lowered to a second meanwhile."""
    lab.change_setting("limits.database.lock_wait", 1)
    lab.change_setting("limits.database.idle_in_transaction_age", 1)
    lab.hold_sessions("BEGIN; LOCK TABLE data_retention_log IN EXCLUSIVE MODE")
    lab.hold_sessions("DELETE FROM data_retention_log WHERE false", 8)


@fault("database-slow", service="database", fails=[QUERY_TIME], outcome="still-failing")
def slow(lab: Lab) -> None:
    """Every second query takes a third of a second: fresh statistics do not help, and a restart needs a yes."""
    _forget_afterwards(lab)
    environment = {"LAB_URI": home.database_uri(lab.site), "PYTHONPATH": str(REPOSITORY)}
    for _ in range(4):
        lab.spawn(sys.executable, "-c", SLOW_CLIENT, environment=environment)


@fault(
    "database-statements-unseen",
    service="database",
    fails=[QUERY_TIME],
    outcome="unmeasured",
)
def statements_unseen(lab: Lab) -> None:
    """pg_stat_statements is gone: how long queries take cannot be told, which is not the same as quick."""
    lab.sql("DROP EXTENSION pg_stat_statements", undo="CREATE EXTENSION IF NOT EXISTS pg_stat_statements")


@fault(
    "database-unmonitored",
    service="database",
    fails=[
        SLOTS,
        LOCKS,
        QUERY_TIME,
        "standby/availability::follows_the_primary",
    ],
    blocks=["standby/freshness::replication_lag"],
    root="standby/availability::follows_the_primary",
    outcome="unmeasured",
)
def unmonitored(lab: Lab) -> None:
    """The role of the checks may not see what others do: nothing that depends on it may pass."""
    lab.sql("REVOKE pg_monitor FROM nightscan", undo="GRANT pg_monitor TO nightscan")


@fault(
    "database-long-transaction",
    service="database",
    fails=["database/performance::no_long_transaction"],
    outcome="person",
)
def long_transaction(lab: Lab) -> None:
    """A query runs for hours; the limit is lowered to a second meanwhile, so that an hour need not pass."""
    lab.change_setting("limits.database.transaction_age", 1)
    lab.hold_sessions("SELECT pg_sleep(36000)")


@fault("database-forgotten-transaction", service="database", fails=[FORGOTTEN])
def forgotten_transaction(lab: Lab) -> None:
    """A session began a transaction and was forgotten; the limit is lowered to a second meanwhile."""
    lab.change_setting("limits.database.idle_in_transaction_age", 1)
    lab.hold_sessions("BEGIN")


@fault("database-lock-held", service="database", fails=[LOCKS], outcome="person")
def lock_held(lab: Lab) -> None:
    """A session waits for the lock of another one, which is not old; the limit is lowered to a second meanwhile.

    Nobody forgot that one, and to restart the database for it needs a yes.
    """
    lab.change_setting("limits.database.lock_wait", 1)
    lab.hold_sessions("BEGIN; LOCK TABLE data_retention_log IN SHARE UPDATE EXCLUSIVE MODE", 2)


@fault("database-not-analysed", service="database", fails=["database/freshness::tables_are_analyzed"])
def not_analysed(lab: Lab) -> None:
    """A table that autovacuum leaves out was filled and never analysed."""
    lab.sql(
        "CREATE TABLE import_of_yesterday WITH (autovacuum_enabled = false) AS SELECT generate_series(1, 1000) AS n;"
        f" ALTER TABLE import_of_yesterday OWNER TO {ROLE}",
        undo="DROP TABLE IF EXISTS import_of_yesterday",
    )


def _write_much(lab: Lab) -> None:
    """Twenty megabytes into the log."""
    lab.sql("SELECT pg_logical_emit_message(false, 'fault', repeat('x', 1000000)) FROM generate_series(1, 20)")


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


def _forget_afterwards(lab: Lab) -> None:
    """Have healing take back what the server remembers: when nobody asks anything, its memory is what is judged."""
    lab.sql("SELECT pg_stat_statements_reset()", undo="SELECT pg_stat_statements_reset()")

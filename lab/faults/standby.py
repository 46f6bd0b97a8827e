"""What can be wrong with the standby of PostgreSQL."""

from __future__ import annotations

from lab.faults import fault
from lab.lab import Lab


@fault(
    "standby-stopped",
    service="standby",
    fails=["standby/availability::answers"],
    blocks=["standby/availability::follows_the_primary", "standby/freshness::replication_lag"],
    root="standby/availability::answers",
)
def stopped(lab: Lab) -> None:
    """The standby does not run."""
    lab.stop_process("standby")


@fault(
    "standby-cut-off",
    service="standby",
    fails=["standby/availability::follows_the_primary"],
    blocks=["standby/freshness::replication_lag"],
    root="standby/availability::follows_the_primary",
)
def cut_off(lab: Lab) -> None:
    """The standby may not log in to the primary any more, and serves what it had."""
    lab.sql("ALTER ROLE replication NOLOGIN", undo="ALTER ROLE replication LOGIN")
    lab.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_replication WHERE application_name = 'standby'")


@fault("standby-paused", service="standby", fails=["standby/freshness::replication_lag"])
def paused(lab: Lab) -> None:
    """Somebody paused the replay on the standby; the limit is lowered to a tenth of a second meanwhile."""
    lab.change_setting("limits.database.replication_lag", 0.1)
    lab.sql("SELECT pg_wal_replay_pause()", undo="SELECT pg_wal_replay_resume()", server="standby")
    lab.sql("UPDATE alembic_version SET version_num = version_num")

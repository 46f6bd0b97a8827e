"""What can be wrong with the standby of PostgreSQL."""

from __future__ import annotations

from typing import cast

from lab.faults import fault
from lab.lab import Lab
from lab.servers.postgresql import Standby
from lab.waiting import NotReady, until


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
    """The standby looks for its primary where there is none: the setting was corrected, and nobody told the server."""
    standby = cast("Standby", lab.servers["standby"])
    lab.restart_when_healed("standby")
    file = standby.data / "lab.conf"
    right = file.read_text()
    file.write_text(right.replace(f"port={lab.site.port('database')} ", "port=1 "))
    lab.sql("SELECT pg_reload_conf()", server="standby")

    def cut_off() -> None:
        if standby.ask("SELECT 1 FROM pg_stat_wal_receiver WHERE status = 'streaming'"):
            raise NotReady("it streams")

    until(cut_off, "the standby is cut off", deadline=10)
    file.write_text(right)


@fault("standby-paused", service="standby", fails=["standby/freshness::replication_lag"])
def paused(lab: Lab) -> None:
    """Somebody paused the replay on the standby; the limit is lowered to a tenth of a second meanwhile."""
    pause_replay(lab)


def pause_replay(lab: Lab) -> None:
    """Pause the replay, and write something that waits for it then."""
    lab.change_setting("limits.database.replication_lag", 0.1)
    lab.sql("SELECT pg_wal_replay_pause()", undo="SELECT pg_wal_replay_resume()", server="standby")
    lab.sql("UPDATE alembic_version SET version_num = version_num")

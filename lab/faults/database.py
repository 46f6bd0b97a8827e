"""What can be wrong with PostgreSQL and its standby."""

from __future__ import annotations

from lab.faults import fault
from lab.lab import Lab


@fault("database-stopped", service="database", root="database")
def stopped(lab: Lab) -> None:
    """PostgreSQL does not run."""
    lab.stop_process("database")


@fault("database-black-hole", service="database", root="database")
def black_hole(lab: Lab) -> None:
    """PostgreSQL accepts connections and never answers."""
    lab.toxic("database", "timeout")


@fault("standby-stopped", service="database")
def standby_stopped(lab: Lab) -> None:
    """The standby does not run."""
    lab.stop_process("standby")

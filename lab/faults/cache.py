"""What can be wrong with Redis."""

from __future__ import annotations

from lab.faults import fault
from lab.lab import Lab


@fault("cache-stopped", service="cache", root="cache")
def stopped(lab: Lab) -> None:
    """Redis does not run."""
    lab.stop_process("cache")

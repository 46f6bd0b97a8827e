"""What can be wrong with the S3 storage."""

from __future__ import annotations

from lab.faults import fault
from lab.lab import Lab


@fault("storage-stopped", service="storage", root="storage")
def stopped(lab: Lab) -> None:
    """The S3 server does not run."""
    lab.stop_process("storage")

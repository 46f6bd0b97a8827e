"""pytest-runbook: an operations guide that runs."""

from pytest_runbook.errors import RunbookError, SettingsError, TimedOut, Unmeasured, Unreachable, UsageError
from pytest_runbook.marks import check

__all__ = ["RunbookError", "SettingsError", "TimedOut", "Unmeasured", "Unreachable", "UsageError", "check"]

"""pytest-runbook: an operations guide that runs."""

from pytest_runbook.errors import (
    BackupError,
    Idle,
    RunbookError,
    SettingsError,
    StepFailed,
    TimedOut,
    Unmeasured,
    Unreachable,
    UsageError,
)
from pytest_runbook.files import files_like, unreadable
from pytest_runbook.marks import check
from pytest_runbook.runbooks.actions import call, command, manage, script, sql
from pytest_runbook.runbooks.steps import Situation, correct, diagnose, last_resort

__all__ = [
    "BackupError",
    "Idle",
    "RunbookError",
    "SettingsError",
    "Situation",
    "StepFailed",
    "TimedOut",
    "Unmeasured",
    "Unreachable",
    "UsageError",
    "call",
    "check",
    "command",
    "correct",
    "diagnose",
    "files_like",
    "last_resort",
    "manage",
    "script",
    "sql",
    "unreadable",
]

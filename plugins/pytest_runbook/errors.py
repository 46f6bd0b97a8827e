"""The engine's exceptions: what a check, a probe or the settings say when they cannot go on.

RunbookError
├── UsageError        the caller asked for something that does not exist; exit code 4
│   └── SettingsError a value of the settings is unknown or bad
├── Unmeasured        the probe could not see: never green
│   ├── Unreachable   the target refused, reset, did not resolve or did not answer in time
│   ├── Idle          nobody asked anything of the target: there is no figure to tell
│   └── Stalled       the checker itself stands still
├── TimedOut          the check used up its time
├── StepFailed        a step of a runbook did not do what it is for
│   ├── NoProgram     the program that was to run is not on this machine
│   └── NoAnswer      nobody serves at the address of a database or a cache
├── ManagerError      a service manager did not do what was asked
│   └── NoVersion     nothing says which version of a unit is started
├── HistoryError      the history cannot be read or written
└── BackupError       a backup cannot be made, read or used
    └── RestoreError  a backup could not be restored, or must not be
"""

from __future__ import annotations

from collections.abc import Iterable


class RunbookError(Exception):
    """Base of every error that the engine raises on purpose."""


class UsageError(RunbookError):
    """A name or an option that does not exist; the message names it, the known ones and what to do."""


class SettingsError(UsageError):
    """One or more values of the settings that cannot be used."""


class Unmeasured(RunbookError):
    """The probe could not see (no privilege, no extension, no device, an answer it cannot read)."""


class Unreachable(Unmeasured):
    """The target refused, reset, did not resolve or did not answer in time.

    In a check of subject `availability` this is the failure itself; in any other check nothing could be measured.
    """


class Idle(Unmeasured):
    """Nobody asked anything of the target meanwhile, so there is no figure; a check that knows how asks something itself."""


class Stalled(Unmeasured):
    """The checker itself stands still: what it waits for says nothing of the system."""


class TimedOut(RunbookError):
    """The check used up its time."""


class StepFailed(RunbookError):
    """A step of a runbook did not do what it is for; what a runbook's own function raises to say so."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        """STATUS is that of a program which ran and said no; None when it could not run at all."""
        super().__init__(message)
        self.status = status


class NoProgram(StepFailed):
    """The program that was to run is not on this machine."""


class NoAnswer(StepFailed):
    """Nobody serves at the address of a database or a cache: it refuses, hangs up or is late.

    Who says why it refuses us does serve.
    """


class ManagerError(RunbookError):
    """A service manager did not do what was asked; the message names the unit, what was seen, and what to do."""


class NoVersion(ManagerError):
    """Nothing says which version of a unit is started, so none can be chosen; the message says how it can be."""


class HistoryError(RunbookError):
    """The history cannot be read or written; the message names it without its password, and what to do."""


class BackupError(RunbookError):
    """A backup cannot be made, read or used; `reason` is a word of `backup.verdict.REASONS`, `busy`, `no-room` or empty."""

    def __init__(self, message: str, *, reason: str = "") -> None:
        """MESSAGE for people, REASON for programs."""
        super().__init__(message)
        self.reason = reason


class RestoreError(BackupError):
    """A backup could not be restored, or must not be; the message says why, and what to do."""


def unknown(what: str, name: str, known: Iterable[str], hint: str = "") -> str:
    """Word an unknown NAME the same way everywhere: the name in quotes, the known ones, what to do."""
    names = ", ".join(sorted(known)) or "none"
    return f'unknown {what} "{name}" (known: {names})' + (f"\n  hint: {hint}" if hint else "")

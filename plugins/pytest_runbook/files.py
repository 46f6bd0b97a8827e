"""Files of the checker's own machine: what may not be looked at is never taken for absent, empty or broken."""

from __future__ import annotations

import os
from pathlib import Path

from pytest_runbook.errors import Unmeasured
from pytest_runbook.naming import user

MEMORY = "/dev/shm"  # noqa: S108 - what lies there gets a folder of its own, closed to others


def memory() -> str | None:
    """Where files have room also when every disk is full; None, the machine's folder for temporary files, elsewhere."""
    return MEMORY if os.access(MEMORY, os.W_OK) else None


def files_like(folder: str | os.PathLike[str], pattern: str) -> list[Path]:
    """Files of FOLDER that fit PATTERN (`*.wav`), by name; none where there is no such folder.

    Raises Unmeasured when FOLDER may not be looked into.
    """
    try:
        with os.scandir(folder):  # glob would find nothing in a folder that may not be read
            return sorted(Path(folder).glob(pattern))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise unreadable(folder, error) from None


def unreadable(path: str | os.PathLike[str], error: OSError, what: str = "") -> Unmeasured:
    """ERROR of reading PATH, WHAT it is before it, in words; for want of a permission also what to do."""
    return Unmeasured(f"{what} {told(path, error)}".strip())


def told(path: str | os.PathLike[str], error: OSError) -> str:
    """The same as text."""
    hint = f'\n  hint: let user "{user()}" read it, or run the checks as one who may'
    denied = isinstance(error, PermissionError)
    return f'"{os.fspath(path)}" cannot be read: {(error.strerror or str(error)).lower()}{hint if denied else ""}'

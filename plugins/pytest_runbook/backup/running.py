"""Client programs that a backup runs: their own exit status decides, and nothing of them goes on when we do not."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from pytest_runbook import clock
from pytest_runbook.errors import BackupError, StepFailed
from pytest_runbook.runbooks import commands, family

SHOWN = 6
"""Lines of what a program said that a message shows."""


def run(
    argv: Sequence[str | Path], environment: Mapping[str, str], timeout: float, *, mark: str = "", reason: str = ""
) -> commands.Finished:
    """ARGV to its end; BackupError, with REASON, when its status is not 0 or it takes longer than TIMEOUT seconds.

    MARK finds what is left of it when we are killed.
    """
    marked = {family.MARK: os.environ.get(family.MARK) or mark} if mark else {}
    program = commands.Program([str(word) for word in argv], {**environment, **marked}, Path("/"))
    name = Path(argv[0]).name
    try:
        done = commands.follow(program, timeout, show=False)
    except StepFailed as error:
        raise BackupError(str(error)) from None
    if done.late:
        raise BackupError(f'"{name}" did not end within {clock.duration(timeout)}, and was ended', reason=reason)
    if done.status:
        said = "\n".join(f"  {line}" for line in done.stderr.strip().splitlines()[-SHOWN:])
        raise BackupError(f'"{name}" failed with status {done.status}\n{said or "  it says nothing"}', reason=reason)
    return done


def end_left(mark: str) -> None:
    """End what a run that was killed left behind under MARK."""
    family.end(lambda: family.marked(mark))

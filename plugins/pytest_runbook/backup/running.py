"""Client programs that a backup runs: their own exit status decides, and nothing of them goes on when we do not."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pytest_runbook import clock
from pytest_runbook.errors import BackupError, StepFailed
from pytest_runbook.runbooks import commands, family

SHOWN = 6
"""Lines of what a program said that a message shows."""


def last(done: commands.Finished) -> list[str]:
    """The end of what DONE said."""
    return done.stderr.strip().splitlines()[-SHOWN:] or ["it says nothing"]


def run(
    argv: Sequence[str | Path],
    environment: Mapping[str, str],
    timeout: float,
    *,
    mark: str = "",
    reason: str = "",
    complaint: Callable[[commands.Finished], Sequence[str]] = last,
) -> None:
    """ARGV to its end; BackupError, with REASON, when it takes longer than TIMEOUT seconds or its status is not 0.

    MARK finds what is left of it when we are killed. COMPLAINT tells what is wrong when it ended otherwise; nothing: nothing is.
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
    if done.status and (said := complaint(done)):
        lines = "\n".join(f"  {line}" for line in said[:SHOWN])
        raise BackupError(f'"{name}" failed with status {done.status}\n{lines}', reason=reason)


def output(
    argv: Sequence[str | Path], environment: Mapping[str, str], timeout: float, *, mark: str = "", reason: str = ""
) -> str:
    """What ARGV writes into the file that its option `-f` names, as `run`: all of it, since a pipe is cut when it is long."""
    with tempfile.NamedTemporaryFile(prefix="runbook-") as file:
        run([argv[0], "-f", file.name, *argv[1:]], environment, timeout, mark=mark, reason=reason)
        return Path(file.name).read_bytes().decode("utf-8", "replace")


def end_left(mark: str) -> None:
    """End what a run that was killed left behind under MARK."""
    family.end(lambda: family.marked(mark))

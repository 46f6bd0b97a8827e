"""Client programs that a backup runs: their own exit status decides, and nothing of them goes on when we do not."""

from __future__ import annotations

import io
import os
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
    called: str = "",
    mark: str = "",
    reason: str = "",
    complaint: Callable[[commands.Finished], Sequence[str]] = last,
    take: Callable[[bytes], object] | None = None,
) -> str:
    """ARGV to its end, and what it said on the way; BackupError, with REASON, when its status is not 0.

    One that came to no end of its own, as it did not start, took longer than TIMEOUT seconds or was killed, says nothing of
    what it was to look at: then the reason is `unverified`. CALLED is its name, where that says what it does. MARK finds
    what is left of it when we are killed. COMPLAINT tells what is wrong when it ended otherwise; nothing: nothing is. What
    it writes is given to TAKE, piece by piece.
    """
    marked = {family.MARK: os.environ.get(family.MARK) or mark} if mark else {}
    words = [called or str(argv[0]), *map(str, argv[1:])]
    program = commands.Program(
        words, {**environment, **marked}, Path("/"), executable=Path(argv[0]) if called else None
    )
    name = Path(words[0]).name
    try:
        done = commands.follow(program, timeout, show=False, take=take)
    except StepFailed as error:
        raise BackupError(str(error), reason="unverified") from None
    if done.late:
        raise BackupError(f'"{name}" did not end within {clock.duration(timeout)}, and was ended', reason="unverified")
    if done.status is not None and done.status < 0:
        ended = f'"{name}" was ended by signal {-done.status}\n  hint: there may be too little memory'
        raise BackupError(ended, reason="unverified")
    if done.status and (said := complaint(done)):
        lines = "\n".join(f"  {line}" for line in said[:SHOWN])
        raise BackupError(f'"{name}" failed with status {done.status}\n{lines}', reason=reason)
    return done.stderr


def output(
    argv: Sequence[str | Path], environment: Mapping[str, str], timeout: float, *, mark: str = "", reason: str = ""
) -> str:
    """All that ARGV writes, as `run`; its option `-f` says where to."""
    written = io.BytesIO()
    run([argv[0], "-f", "-", *argv[1:]], environment, timeout, mark=mark, reason=reason, take=written.write)
    return written.getvalue().decode("utf-8", "replace")


def end_left(mark: str) -> None:
    """End what a run that was killed left behind under MARK."""
    family.end(lambda: family.marked(mark))

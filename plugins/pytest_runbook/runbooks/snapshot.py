"""The runbooks of a run, copied: nobody edits them while their steps run, and what was run stays on record."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from pytest_runbook.runbooks.commands import noexec

PLACES = ("/tmp", "/dev/shm", "/run")  # noqa: S108 - each copy gets a folder of its own, closed to others
"""Where a copy lies for as long as the run lasts when there is no room to keep it; the last two are in memory."""


@contextmanager
def snapshot(folder: Path, kept: Path, tell: Callable[[str], None]) -> Iterator[Path]:
    """A copy of FOLDER, KEPT, where nothing may be yet, and where it stays.

    A full disk, which a runbook may be there to mend, has no room for it: then it lies elsewhere until this ends, and TELL
    is told. Raises OSError when that is not possible either.
    """
    with ExitStack() as stack:
        try:
            copy = _copied(folder, kept)
        except OSError as error:
            tell(f'the runbooks that may run are not kept in "{kept.parent}": {_why(error)}')
            copy = _elsewhere(folder, kept.name, stack)
        yield copy


def _elsewhere(folder: Path, name: str, stack: ExitStack) -> Path:
    """A copy of FOLDER, of that NAME, in the first place that takes it, until STACK is closed.

    Where no program may run, its scripts do not; but all else does, so such a place is better than none.
    """
    problems = []
    for place in sorted(filter(None, (os.environ.get("TMPDIR"), *PLACES)), key=noexec):
        with ExitStack() as tried:
            try:
                own = Path(tried.enter_context(TemporaryDirectory(prefix="runbook-", dir=place)))
                copy = _copied(folder, own / name)
            except OSError as error:
                problems.append(f"{place}: {_why(error)}")
                continue
            stack.push(tried.pop_all())
            return copy
    raise OSError(f"the runbooks find no place: {'; '.join(problems)}")


def _copied(folder: Path, copy: Path) -> Path:
    """COPY, made here, with what is in FOLDER; OSError when not all of it is, and then what was made is not there.

    It may lie in FOLDER itself, where somebody wants the reports.
    """
    copy.mkdir()  # what has its name already is not ours, neither to write to nor to remove
    try:
        ignored = shutil.ignore_patterns("__pycache__", copy.name)
        return Path(shutil.copytree(folder, copy, ignore=ignored, dirs_exist_ok=True))
    except OSError:
        shutil.rmtree(copy, ignore_errors=True)
        raise


def _why(error: OSError) -> str:
    """The first problem that ERROR tells: that of a whole folder tells one for each file."""
    if isinstance(error, shutil.Error):
        return str(error.args[0][0][-1])
    return error.strerror or str(error)

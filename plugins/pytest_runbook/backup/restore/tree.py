"""Walks through folders and removes them, however deep they are: users make them, and Python's own ways end at a thousand."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from pytest_runbook.backup.reaching import reached


def below(folder: Path) -> Iterator[tuple[str, os.DirEntry[str], int]]:
    """Everything in FOLDER, each folder before what is in it: its path in there, itself, and the folder it lies in, open.

    No link is followed.
    """
    pending = [""]
    while pending:
        within = pending.pop()
        with reached(folder, within) as here, os.scandir(here) as entries:
            for entry in entries:
                yield f"{within}{entry.name}", entry, here
                if entry.is_dir(follow_symlinks=False):
                    pending.append(f"{within}{entry.name}/")


def remove(folder: Path) -> None:
    """Remove FOLDER and everything in it, and nothing else: what somebody makes a link meanwhile is not followed.

    What lies deep is brought up first, so that no path becomes long, and no more than two folders are open.
    """
    with _opened(str(folder)) as top:
        pending = _emptied(top)
        taken = {*pending}
        free = (name for name in map(".removed-{}".format, count()) if name not in taken)
        while pending:
            name = pending.pop()
            with _opened(name, top) as here:
                for inner in _emptied(here):
                    pending.append(next(free))
                    _brought_up(inner, here, pending[-1], top)
            os.rmdir(name, dir_fd=top)
    folder.rmdir()


@contextmanager
def _opened(name: str, within: int | None = None) -> Iterator[int]:
    """The folder NAME, itself and no link, as one that we may remove from and rename."""
    here = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=within)
    try:
        with suppress(PermissionError):  # it is not ours: whether that matters is said by what comes
            os.fchmod(here, 0o700)
        yield here
    finally:
        os.close(here)


def _emptied(here: int) -> list[str]:
    """Names of the folders in the folder HERE, in which nothing else is left."""
    with os.scandir(here) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_folder in found:
        if not is_folder:
            os.unlink(name, dir_fd=here)
    return [name for name, is_folder in found if is_folder]


def _brought_up(name: str, here: int, free: str, top: int) -> None:
    """Move the folder NAME in HERE into TOP, as FREE."""
    try:
        os.rename(name, free, src_dir_fd=here, dst_dir_fd=top)
    except PermissionError:  # one that may not be written in cannot be moved
        with _opened(name, here):
            os.rename(name, free, src_dir_fd=here, dst_dir_fd=top)

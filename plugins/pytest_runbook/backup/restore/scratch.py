"""A folder for servers that live as long as a restore is looked at, and go with it, also when this process was killed.

Nothing here removes a folder that it did not make: it has our name and our mark in it, lies where it was made, and belongs
to us. `refusal` says what speaks against it, and only looks.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil

from pytest_runbook import clock, interrupts
from pytest_runbook.backup.restore import tree
from pytest_runbook.errors import RestoreError
from pytest_runbook.process import Process
from pytest_runbook.runbooks import family

PREFIX = "runbook-scratch-"
NAME = re.compile(r"runbook-scratch-[a-z0-9_]{8}")
SERVERS = ("postgres", "redis-server", "valkey-server")
MARK = "scratch.json"
"""The file that says who made the folder, and where."""


@contextmanager
def folder(parent: Path | None = None) -> Iterator[Path]:
    """A new folder below PARENT (default: the machine's folder for temporary files); what works in it ends with it.

    Others may pass through it and see nothing: a server runs as another user in a folder of its own inside.
    """
    parent = place(parent)
    clean(parent)
    made = None
    with ExitStack() as held:
        try:
            with interrupts.later():  # a folder without its mark would stay for ever
                made = _made(parent, held)
            yield made
        finally:
            if made:
                with interrupts.later():  # it is as good as gone: nobody has to break that off
                    remove(made, parent)


def _made(parent: Path, held: ExitStack) -> Path:
    """A new folder, whose mark is locked while HELD is open."""
    made = None
    try:
        made = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        made.chmod(0o711)
        told = {"path": str(made), "made": clock.iso(clock.now()), "process": asdict(Process.current())}
        mark = held.enter_context((made / MARK).open("w", encoding="utf-8"))
        with suppress(OSError):  # where there are no locks of files, a person has to remove what a kill leaves
            fcntl.flock(mark, fcntl.LOCK_EX)
        mark.write(json.dumps(told) + "\n")
        mark.flush()
    except OSError as error:  # a full disk
        if made:
            shutil.rmtree(made)
        said = f'"{parent}" cannot be written to: {(error.strerror or str(error)).lower()}'
        raise RestoreError(f"{said}\n  hint: look at the room and rights there, or set drill.folder") from None
    return made


def place(parent: Path | None) -> Path:
    """The real path of PARENT, the folder of scratch folders."""
    try:
        found = Path(os.path.realpath(parent or tempfile.gettempdir()))
    except FileNotFoundError:  # it tries to write into each that may be one
        raise RestoreError(
            "no folder for temporary files can be written to\n  hint: make room, or set drill.folder"
        ) from None
    if not found.is_dir():
        raise RestoreError(f'there is no folder "{found}" for scratch servers\n  hint: make it, or set drill.folder')
    return found


def clean(parent: Path) -> list[Path]:
    """Remove what runs that were killed have left below PARENT, the real path of a folder; what it was."""
    left = []
    for found in sorted(parent.glob(f"{PREFIX}*")):
        if refusal(found, parent) is None and _maker_is_gone(found):
            remove(found, parent)
            left.append(found)
    return left


def remove(made: Path, parent: Path) -> None:
    """End what works in the folder MADE, and remove it; RestoreError when it is not one of ours."""
    if why := refusal(made, parent):
        raise RestoreError(f'"{made}" is not removed: {why}')
    end(made)
    for found in [*made.iterdir()]:
        if found.is_dir() and not found.is_symlink():
            tree.remove(found)
        elif found.name != MARK:
            found.unlink()
    shutil.rmtree(made)  # the mark went last: what a kill leaves before is still known as ours


def end(made: Path) -> None:
    """End what works in the folder MADE."""
    if not family.end(lambda: working_in(made)):
        raise RestoreError(f'processes in "{made}" do not end: {", ".join(str(one.pid) for one in working_in(made))}')


def refusal(made: Path, parent: Path) -> str | None:
    """What speaks against removing the folder MADE below PARENT; None when it is ours. Changes nothing."""
    if not NAME.fullmatch(made.name):
        return "its name is not that of a scratch folder"
    if made.is_symlink() or not made.is_dir():
        return "it is no folder"
    if Path(os.path.realpath(made)) != made or made.parent != parent:
        return f'it does not lie in "{parent}" itself'
    if made.stat().st_uid != os.geteuid():
        return "it belongs to somebody else"
    if os.path.ismount(made):
        return "something is mounted there"
    mark = _mark(made)
    if mark.get("path") != str(made):
        return "it has no mark of ours"
    return None


def _maker_is_gone(made: Path) -> bool:
    """Whether nobody holds the lock of its mark: the kernel ends that with the process, by a reboot as well.

    Other than the number of a process, it means the same in every container, and after every boot.
    """
    try:
        with (made / MARK).open("r+") as mark:
            fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _mark(made: Path) -> dict[str, Any]:
    try:
        mark = json.loads((made / MARK).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return mark if isinstance(mark, dict) else {}


def working_in(made: Path) -> list[psutil.Process]:
    """Processes that were started for the folder MADE; a shell that somebody has opened there is none of them."""
    return list({*family.marked(str(made)), *(one for one in psutil.process_iter(["name"]) if _serves(made, one))})


def _serves(made: Path, process: psutil.Process) -> bool:
    """Whether PROCESS is a server that works in MADE: those write their title over the mark that they were given."""
    try:
        ours = process.info["name"] in SERVERS and Path(process.cwd()).is_relative_to(made)
        return ours and process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except (psutil.Error, OSError):
        return False


def environment(made: Path) -> dict[str, str]:
    """What programs that work for the folder MADE are given: by it they are found when they have to end."""
    keep = {name: value for name, value in os.environ.items() if not name.startswith(("PG", family.MARK))}
    return {**keep, family.MARK: str(made), "LC_ALL": "C"}

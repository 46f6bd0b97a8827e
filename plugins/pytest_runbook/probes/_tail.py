"""Reads log files from their end, and no more of them than allowed."""

from __future__ import annotations

import glob
import gzip
import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from pytest_runbook.errors import Unmeasured
from pytest_runbook.files import unreadable

BLOCK = 65_536


class Budget:
    """Bytes that may still be read; `spent` once something had to be left unread."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.left = size
        self.spent = False

    def take(self, wanted: int) -> int:
        """How many of WANTED bytes may be read."""
        given = min(wanted, self.left)
        self.left -= given
        return given


@dataclass(frozen=True)
class OpenFile:
    """A log file, open."""

    path: Path
    file: BinaryIO
    written: datetime
    """When it was last written, UTC."""
    live: bool
    """Whether it is one that is written to, and no rotated sibling."""

    def lines(self, budget: Budget) -> Iterator[str]:
        """Its lines, the last one first; Unmeasured when it cannot be read."""
        try:
            yield from lines_from_end(self.file, self.path.suffix == ".gz", budget)
        except OSError as error:
            raise unreadable(self.path, error) from None


def open_files(patterns: Iterable[str], stack: ExitStack, since: datetime | None = None) -> list[OpenFile]:
    """The files that PATTERNS name, with their rotated siblings, written since SINCE, the last written first.

    STACK closes them. Each file is opened before its siblings are looked for: what is rotated meanwhile is seen twice, which
    its inode tells, and never missed.
    """
    files: dict[tuple[int, int], OpenFile] = {}
    for path, live in _paths(patterns):
        try:
            file = stack.enter_context(path.open("rb"))
        except FileNotFoundError:
            continue  # rotated away since it was listed
        except OSError as error:
            raise unreadable(path, error) from None
        seen = os.fstat(file.fileno())
        written = datetime.fromtimestamp(seen.st_mtime, UTC)
        if since is None or written >= since:
            files.setdefault((seen.st_dev, seen.st_ino), OpenFile(path, file, written, live))
    return sorted(files.values(), key=lambda one: one.written, reverse=True)


def _paths(patterns: Iterable[str]) -> Iterator[tuple[Path, bool]]:
    """Each file that PATTERNS name, then its rotated siblings, and whether it is none; Unmeasured without any file."""
    for pattern in patterns:
        found = 0
        for form in (pattern, f"{pattern}[.-]*"):
            for name in sorted(glob.glob(form, recursive=True)):  # noqa: PTH207 - the pattern may be absolute
                if Path(name).is_file():
                    found += 1
                    yield Path(name), form == pattern
        if not found:
            raise _missing(pattern)


def _missing(pattern: str) -> Unmeasured:
    try:
        Path(pattern).stat()
    except PermissionError as error:
        return unreadable(Path(pattern), error)
    except OSError:
        return Unmeasured(f'no log file "{pattern}"')
    return Unmeasured(f'"{pattern}" is no file')


def lines_from_end(file: BinaryIO, packed: bool, budget: Budget) -> Iterator[str]:
    """Lines of FILE, the last one first; one that is PACKED by gzip only reads forward and is unpacked within BUDGET.

    Raises OSError when the file cannot be read.
    """
    blocks = _unpacked(file, budget) if packed else _blocks(file, budget)
    rest: list[bytes] = []  # of one line, its end first: joined once, however long it is
    for block in blocks:
        head, *whole = block.split(b"\n")
        if whole:
            yield from _text(whole.pop() + b"".join(reversed(rest)))
            for line in reversed(whole):
                yield from _text(line)
            rest = [head]
        else:
            rest.append(head)
    if not budget.spent:  # otherwise the beginning of this line was not read
        yield from _text(b"".join(reversed(rest)))


def _blocks(file: BinaryIO, budget: Budget) -> Iterator[bytes]:
    """Blocks of FILE from its end; what is appended meanwhile is not seen."""
    place = file.seek(0, 2)
    while place > 0:
        size = budget.take(min(BLOCK, place))
        if not size:
            budget.spent = True
            return
        place -= size
        file.seek(place)
        yield file.read(size)


def _unpacked(file: BinaryIO, budget: Budget) -> Iterator[bytes]:
    """The whole of FILE as one block; nothing of one that is larger than BUDGET: its end is what matters."""
    try:
        with gzip.GzipFile(fileobj=file) as unpacking:
            content = unpacking.read(budget.left + 1)
    except (EOFError, zlib.error) as error:
        raise OSError(f"broken gzip: {error}") from error
    if len(content) > budget.left:
        budget.spent = True
    else:
        budget.take(len(content))
        yield content


def _text(line: bytes) -> Iterator[str]:
    text = line.decode("utf-8", "replace").rstrip("\r")
    if text.strip():
        yield text

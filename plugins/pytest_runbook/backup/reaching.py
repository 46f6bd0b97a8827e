"""Opens folders however deep they lie: users make them, and the system takes no path above some thousand bytes at once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

AT_ONCE = 2000
"""Bytes of a path that are given to the system at once; it takes 4,095."""


@contextmanager
def reached(folder: Path, within: str = "") -> Iterator[int]:
    """The folder WITHIN, a path below FOLDER, as a descriptor; where it has become a link, it is none any more."""
    here = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for piece in _pieces(within):
            inner = os.open(piece, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=here)
            os.close(here)
            here = inner
        yield here
    finally:
        os.close(here)


def _pieces(path: str) -> Iterator[str]:
    """PATH in pieces that are short enough."""
    piece = ""
    for part in filter(None, path.split("/")):
        if piece and len(os.fsencode(f"{piece}/{part}")) > AT_ONCE:
            yield piece
            piece = ""
        piece = f"{piece}/{part}" if piece else part
    if piece:
        yield piece

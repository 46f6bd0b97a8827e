"""SHA-256 of files and streams, in pieces."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

PIECE = 1 << 20
"""Bytes that are held at once."""


def of_file(path: Path, take: Callable[[bytes], object] = lambda _: None) -> str:
    """The SHA-256 of the file PATH, in hexadecimal; each piece is given to TAKE as well, which may end it by raising."""
    with path.open("rb") as file:
        return of_stream(file, take)[1]


def pieces(stream: BinaryIO, size: int = PIECE) -> Iterator[bytes]:
    """The content of STREAM, piece by piece."""
    while piece := stream.read(size):
        yield piece


def of_stream(stream: BinaryIO, take: Callable[[bytes], object] = lambda _: None) -> tuple[int, str]:
    """Size and SHA-256 of all that is left in STREAM; each piece is given to TAKE as well."""
    digest, size = hashlib.sha256(), 0
    for piece in pieces(stream):
        digest.update(piece)
        size += len(piece)
        take(piece)
    return size, digest.hexdigest()

"""Writes report files whole or not at all: a reader never meets half a page, a full disk leaves the old one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write(path: Path, content: str | bytes) -> Path:
    """Put CONTENT at PATH; raises OSError and leaves nothing half-written."""
    # What a broken target answered may hold lone surrogates, which UTF-8 cannot carry.
    with drafted(path) as draft:
        draft.write_bytes(content.encode("utf-8", "replace") if isinstance(content, str) else content)
    return path


@contextmanager
def drafted(path: Path) -> Iterator[Path]:
    """A file beside PATH to write to; it takes PATH's place at the end, or vanishes when that was not reached."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield draft
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise

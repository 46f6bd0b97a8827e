"""Writes report files whole or not at all: a reader never meets half a page, a full disk leaves the old one."""

from __future__ import annotations

import os
from pathlib import Path


def write(path: Path, content: str | bytes) -> Path:
    """Put CONTENT at PATH by way of a file beside it; raises OSError and leaves nothing half-written."""
    # What a broken target answered may hold lone surrogates, which UTF-8 cannot carry.
    data = content.encode("utf-8", "replace") if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_bytes(data)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return path

"""Looking as a user without privileges, whoever runs the tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534


@contextmanager
def closed(folder: Path) -> Iterator[Path]:
    """A new FOLDER that holds a file `a.log` and that nobody may look into; the block runs as a user without privileges."""
    folder.mkdir()
    (folder / "a.log").write_text("x\n")
    folder.chmod(0)
    try:
        with nobody():
            yield folder
    finally:
        folder.chmod(0o700)


@contextmanager
def nobody() -> Iterator[None]:
    """As a user without privileges, commands that are started as well, when the tests run as root."""
    if os.geteuid():
        yield
        return
    os.setresuid(NOBODY, NOBODY, 0)  # not the effective one alone: a shell would fall back to the real one
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)

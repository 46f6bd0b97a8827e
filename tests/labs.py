"""The lab as a fixture: one for each worker, started once; a test that breaks it heals it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab import Lab

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The lab of this worker; each test leaves it as it found it."""
    made = Lab(tmp_path_factory.mktemp("lab"))
    with ending_with_us(made):
        made.up()
        yield made
        made.down(purge=True)


@contextmanager
def ending_with_us(lab: Lab) -> Iterator[None]:
    """However this process ends, by `kill -9` too, nothing of LAB goes on: a shell takes it down when our pipe breaks."""
    down = [sys.executable, "-m", "lab", "--dir", str(lab.folder), "down", "--purge"]
    with subprocess.Popen(
        ["sh", "-c", 'read -r line || exec "$@"', "sh", *down],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        cwd=ROOT,
        start_new_session=True,
    ) as guardian:
        yield
        assert guardian.stdin
        guardian.stdin.write(b"it is down\n")

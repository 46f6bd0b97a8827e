"""How far a backup is, shown while nobody knows its size yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pytest_runbook.backup.progress import Progress

from tests.probes.databases import until


class Counting(Progress):
    """Adds up what it is told."""

    def __init__(self) -> None:
        self.total = 0
        self.bars: list[tuple[str, int]] = []

    @contextmanager
    def bar(self, title: str, size: int) -> Iterator[Callable[[int], object]]:
        self.bars.append((title, size))
        yield self.add

    def add(self, size: int) -> None:
        self.total += size


def test_what_grows_is_told(tmp_path: Path) -> None:
    shown = Counting()
    with shown.growing("making", tmp_path, 5000):
        (tmp_path / "database").mkdir()
        (tmp_path / "database" / "1.dat").write_bytes(b"x" * 3000)
        until(lambda: shown.total == 3000)
        (tmp_path / "database" / "1.dat").unlink()  # what shrinks is no progress
        (tmp_path / "roles.sql").write_bytes(b"x" * 4000)
        until(lambda: shown.total == 4000)
    assert shown.bars == [("making", 5000)]


def test_one_whose_folder_never_comes_ends(tmp_path: Path) -> None:
    shown = Counting()
    with pytest.raises(OSError, match="no room"), shown.growing("making", tmp_path / "nowhere", 0):
        raise OSError("no room")
    assert shown.total == 0

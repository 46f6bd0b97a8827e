"""Who is interrupted while a large file is on its way ends at its next piece, and does not wait for the rest of it."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from pytest_runbook.backup import archive, copying, making
from pytest_runbook.backup.checksums import of_file
from pytest_runbook.backup.destinations import Destination
from pytest_runbook.backup.filelist import File
from pytest_runbook.backup.manifest import FILES, Manifest, Stored
from pytest_runbook.backup.progress import Progress
from pytest_runbook.backup.stopping import Stop
from pytest_runbook.errors import BackupError
from pytest_runbook.settings.backup import FilesPart

from tests.backup.conftest import Backups
from tests.backup.test_destinations import ID
from tests.backup.test_destinations import place as place  # noqa: PLC0414 - a fixture

LARGE = 10 * 8 << 20
"""Bytes of a file that is sent in ten parts."""
ENDLESS = 100_000_000_000
"""Bytes of a file that nobody reads to its end here, all of them zero, and none on the disk."""


class Interrupting(Progress):
    """Interrupts the main thread at the first piece, and gives it time to say so."""

    def __init__(self) -> None:
        self.pieces = 0
        self._lock = threading.Lock()

    @contextmanager
    def bar(self, title: str, size: int) -> Iterator[Callable[[int], object]]:
        yield self._piece

    def _piece(self, size: int) -> None:
        with self._lock:
            self.pieces += 1
            if self.pieces == 1:
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
                time.sleep(2.0)


def test_a_copy_ends_at_the_next_piece(place: Destination, backups: Backups) -> None:
    folder = backups.local.path(ID)
    folder.mkdir(parents=True)
    with (folder / FILES).open("wb") as file:
        file.truncate(LARGE)
    made = Manifest(ID, "NightScan", "production", "2026-01-01T02:03:04Z", "2026-01-01T02:03:05Z", "test")
    made.stored[FILES] = Stored(LARGE, of_file(folder / FILES))
    (folder / "manifest.json").write_text(made.text())
    progress = Interrupting()
    with pytest.raises(KeyboardInterrupt):
        copying.copy(backups.local, place, ID, progress)
    assert 1 <= progress.pieces < 9, "a few parts may have been on their way together"
    assert place.names(ID) == {}
    assert place.backups() == []
    copying.copy(backups.local, place, ID, Progress())
    assert place.compared(ID, FILES, made.stored[FILES]) == ""


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    with (tmp_path / "root" / "large").open("wb") as file:
        file.truncate(ENDLESS)
    return tmp_path / "root"


def stopped(work: Callable[[Stop], object]) -> None:
    """Have WORK begin, and be stopped."""
    stop = Stop()
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(work, stop)
        time.sleep(0.5)
        assert not done.done()
        stop.set()
        with pytest.raises(BackupError, match="what was begun was given up"):
            done.result(60)


@pytest.mark.parametrize("known", [False, True])
def test_an_archive_ends_within_a_file(endless: Path, tmp_path: Path, known: bool) -> None:
    """Of one that is as large as it was, the content is read before it is stored."""
    part = FilesPart(roots={"uploads": endless})
    earlier = {"uploads/large": File(ENDLESS, 0o644, 0.0, "0" * 64, ID)} if known else {}
    stopped(lambda stop: archive.collect(part, tmp_path, ID, earlier, tmp_path, stop))


def test_the_checksum_of_what_was_made_ends_within_a_file(endless: Path) -> None:
    stopped(lambda stop: making._settled(stop, endless / "large"))

"""A part that fails ends the others: nobody waits for hours of an archive to hear why a restore does not begin."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import BinaryIO, cast

import pytest
from pytest_runbook.backup.destinations.folder import Folder
from pytest_runbook.backup.manifest import CACHE, FILES, Manifest
from pytest_runbook.backup.restore import fetching, together
from pytest_runbook.backup.restore.production import Production
from pytest_runbook.errors import BackupError, RestoreError

from tests.backup.systems import Shop


class Slow:
    """A stream that gives its first bytes, and no more until the restore is given up."""

    def __init__(self, stream: BinaryIO, given_up: Event, begun: Event) -> None:
        self.stream, self.given_up, self.begun, self.reads = stream, given_up, begun, 0

    def read(self, size: int = -1) -> bytes:
        self.reads += 1
        self.begun.set()
        assert self.reads == 1 or self.given_up.wait(60)
        return self.stream.read(100)


def test_files_are_read_no_further_when_the_cache_cannot_be_made_ready(
    system: Shop, backup: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow: list[Slow] = []
    events: list[Event] = []
    begun = Event()
    plain, work = Folder.read, together.work

    @contextmanager
    def read(self: Folder, id: str, name: str) -> Iterator[BinaryIO]:
        if name == CACHE:
            assert begun.wait(60)
            raise BackupError("the snapshot went away")
        with plain(self, id, name) as stream:
            if name == FILES:
                slow.append(Slow(stream, events[0], begun))
            yield cast(BinaryIO, slow[-1]) if name == FILES else stream

    def seen(parts: Sequence[Callable[[], None]], home: Path, given_up: Event) -> None:
        events.append(given_up)
        work(parts, home, given_up)

    monkeypatch.setattr(Folder, "read", read)
    monkeypatch.setattr(together, "work", seen)
    production = Production(system.loaded, system.folder)
    with pytest.raises(RestoreError, match="the snapshot went away"):
        production.restore("away", backup, ["cache", "files"], safety=False)
    assert [one.reads <= 2 for one in slow] == [True], [one.reads for one in slow]


def test_who_reads_on_is_told() -> None:
    given_up = Event()
    stream = fetching.until(io.BytesIO(b"owl and fox"), given_up)
    assert stream.read(3) == b"owl"
    given_up.set()
    with pytest.raises(BackupError, match="it was given up") as told:
        stream.read(3)
    assert told.value.reason == "unreachable", "it says nothing against the backup"

"""A part that fails ends the others: nobody waits for hours of an archive to hear why a restore does not begin."""

from __future__ import annotations

import io
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import BinaryIO, cast

import psycopg
import pytest
from pytest_runbook.backup import contents, tables
from pytest_runbook.backup.destinations.folder import Folder
from pytest_runbook.backup.manifest import CACHE, FILES, Manifest
from pytest_runbook.backup.restore import fetching, scratch, serving, together
from pytest_runbook.backup.restore.database import Restoring
from pytest_runbook.backup.restore.production import Production
from pytest_runbook.backup.restore.together import GivenUp
from pytest_runbook.errors import BackupError, RestoreError

from tests.backup.systems import Shop
from tests.probes.databases import until


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

    def seen(parts: Sequence[Callable[[], None]], home: Path, given_up: GivenUp) -> None:
        events.append(given_up)
        work(parts, home, given_up)

    monkeypatch.setattr(Folder, "read", read)
    monkeypatch.setattr(together, "work", seen)
    production = Production(system.loaded, system.folder)
    with pytest.raises(RestoreError, match="the snapshot went away"):
        production.restore("away", backup, ["cache", "files"], safety=False)
    assert [one.reads <= 2 for one in slow] == [True], [one.reads for one in slow]


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Event:
    """What the files wait for to fail, while the database is made ready."""
    go, plain = Event(), Folder.read

    @contextmanager
    def read(self: Folder, id: str, name: str) -> Iterator[BinaryIO]:
        if name == FILES:
            assert go.wait(60)
            raise BackupError("the archive went away")
        with plain(self, id, name) as stream:
            yield stream

    monkeypatch.setattr(Folder, "read", read)
    return go


def given_up(system: Shop, backup: Manifest) -> None:
    """A restore whose files cannot be made ready."""
    production = Production(system.loaded, system.folder)
    with pytest.raises(RestoreError, match="the archive went away"):
        production.restore("away", backup, ["database", "files"], safety=False)
    assert [one.state for one in production.journal.open()] == []
    assert system.database.sql("SELECT datname FROM pg_database WHERE datname LIKE '%restore%'") == []


def test_what_a_part_asks_the_database_is_cut_off(
    system: Shop, backup: Manifest, monkeypatch: pytest.MonkeyPatch, failing: Event
) -> None:
    """To compare a large one takes hours, and Ctrl-C would wait for that."""
    ended = []

    def look(session: tables.Session, **_: object) -> None:
        failing.set()
        try:
            session.execute("SELECT pg_sleep(300)")
        except psycopg.Error as error:
            ended.append(error)
            raise

    monkeypatch.setattr(contents, "look", look)
    given_up(system, backup)
    assert len(ended) == 1


def test_nothing_is_filled_that_was_given_up(
    system: Shop, backup: Manifest, monkeypatch: pytest.MonkeyPatch, failing: Event
) -> None:
    filled = []

    def owner(self: Restoring, *_: object) -> None:
        failing.set()
        assert known[0].wait(60)

    known: list[GivenUp] = []
    work = together.work

    def seen(parts: Sequence[Callable[[], None]], home: Path, given_up: GivenUp) -> None:
        known.append(given_up)
        work(parts, home, given_up)

    monkeypatch.setattr(together, "work", seen)
    monkeypatch.setattr(Restoring, "owner", owner)
    monkeypatch.setattr(Restoring, "fill", lambda *_: filled.append("pg_restore"))
    given_up(system, backup)
    assert filled == []


def test_what_is_started_after_it_was_given_up_is_ended_too(tmp_path: Path) -> None:
    given, ended = GivenUp(), []

    def late() -> None:
        assert given.wait(60)
        time.sleep(1)  # by then the first look for what is to be ended is over
        ended.append(subprocess.run(["sleep", "300"], env=scratch.environment(home), check=False).returncode)

    def fails() -> None:
        raise RestoreError("the other one failed")

    with scratch.folder(tmp_path) as home, pytest.raises(RestoreError, match="the other one failed"):
        together.work([late, fails], home, given)
    assert ended == [-signal.SIGTERM]


def test_a_cache_that_still_writes_when_it_is_given_up_keeps_its_earlier_snapshot(system: Shop) -> None:
    """Once it has written, that is the only one of what it held before."""
    client, settings = system.cache.client, system.loaded.settings
    client.save()
    (folder,) = client.config_get("dir").values()
    snapshot, earlier = Path(str(folder)) / "dump.rdb", Path(str(folder)) / "dump.rdb.earlier-test"

    def heed() -> None:
        if client.info("persistence")["rdb_bgsave_in_progress"]:
            raise BackupError("it was given up")

    client.config_set("rdb-key-save-delay", 500_000)
    try:
        with pytest.raises(BackupError, match="it was given up"):
            serving.prove(settings, snapshot, earlier, heed)
        assert earlier.exists()
    finally:
        client.config_set("rdb-key-save-delay", 0)
        until(lambda: not client.info("persistence")["rdb_bgsave_in_progress"])
        earlier.unlink()


def test_who_reads_on_is_told() -> None:
    given_up = Event()
    stream = fetching.until(io.BytesIO(b"owl and fox"), given_up)
    assert stream.read(3) == b"owl"
    given_up.set()
    with pytest.raises(BackupError, match="it was given up") as told:
        stream.read(3)
    assert told.value.reason == "unreachable", "it says nothing against the backup"

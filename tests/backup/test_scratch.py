"""Scratch servers: real ones, and nothing of them stays, whatever happens to the process that started them."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from pytest_runbook import clock
from pytest_runbook.backup.restore import scratch
from pytest_runbook.backup.restore.cache import ScratchRedis
from pytest_runbook.backup.restore.postgresql import ScratchPostgresql
from pytest_runbook.errors import RestoreError

from lab import binaries
from tests.probes.databases import until

KILLED = """
import sys, time
from pathlib import Path
from pytest_runbook.backup.restore import scratch
from pytest_runbook.backup.restore.cache import ScratchRedis
from pytest_runbook.backup.restore.postgresql import ScratchPostgresql
with scratch.folder(Path(sys.argv[1])) as home:
    database = ScratchPostgresql(home, Path(sys.argv[2]))
    database.create()
    database.start()
    ScratchRedis(home, Path(sys.argv[3])).start()
    print(home, flush=True)
    time.sleep(100)
"""

ALONE = """
import sys, time
from pathlib import Path
from pytest_runbook.backup.restore import scratch
with scratch.folder(Path(sys.argv[1])) as home:
    print(home, flush=True)
    time.sleep(100)
"""


@pytest.fixture
def parent() -> Iterator[Path]:
    """A folder that a server of another user can pass through: pytest's own are closed."""
    with tempfile.TemporaryDirectory(prefix="runbook-test-") as found:
        folder = Path(found).resolve()
        folder.chmod(0o755)
        yield folder


def test_a_scratch_postgresql_serves_and_goes(parent: Path) -> None:
    with scratch.folder(parent) as home, ScratchPostgresql(home, binaries.postgresql()) as server:
        server.create()
        server.start()
        with server.connect() as connection:
            row = connection.execute("SELECT current_setting('fsync'), current_setting('listen_addresses')").fetchone()
        assert row == ("off", "127.0.0.1")
        assert scratch.working_in(home)
        processes = scratch.working_in(home)
    assert list(parent.iterdir()) == []
    assert not any(one.is_running() for one in processes)


def test_a_password_stands_on_no_command_line(parent: Path) -> None:
    with (
        scratch.folder(parent) as home,
        ScratchPostgresql(home, binaries.postgresql()) as database,
        ScratchRedis(home, binaries.redis()) as cache,
    ):
        database.create()
        database.start()
        cache.start()
        lines = [" ".join(one.cmdline()) for one in scratch.working_in(home)]
        assert lines
        assert not any(database.password in line or cache.password in line for line in lines)
        assert database.password not in repr(database)


def test_postgresql_that_cannot_start_says_why(parent: Path) -> None:
    with scratch.folder(parent) as home:
        server = ScratchPostgresql(home, binaries.postgresql(), {"shared_preload_libraries": "nowhere"})
        server.create()
        with pytest.raises(RestoreError, match='could not access file "nowhere"'):
            server.start()


def test_an_rdb_is_loaded_and_becomes_an_append_only_file(parent: Path) -> None:
    with scratch.folder(parent) as home:
        first = ScratchRedis(home, binaries.redis())
        first.start()
        with first.connect() as client, first.connect(3) as other:
            client.set("kept", "yes")
            client.set("short", "yes", ex=1000)
            other.rpush("queue", "a", "b")
            client.save()
        first.stop()
        rdb = home / "kept.rdb"
        (first.folder / "dump.rdb").rename(rdb)

        second = ScratchRedis(home, binaries.redis())
        second.place(rdb)
        second.start()
        assert second.keys() == {"0": (2, 1), "3": (1, 0)}
        second.append()
        second.stop()

        # The RDB is not what this one starts from.
        (second.folder / "dump.rdb").unlink()
        with ScratchRedis(home, binaries.redis(), {"appendonly": "yes"}) as third:
            third.start()
            assert third.keys() == {"0": (2, 1), "3": (1, 0)}


def test_what_is_no_rdb_is_not_loaded(parent: Path) -> None:
    with scratch.folder(parent) as home:
        bad = home / "bad.rdb"
        bad.write_bytes(b"REDIS0011" + b"x" * 100)
        server = ScratchRedis(home, binaries.redis())
        server.place(bad)
        with pytest.raises(RestoreError, match="ended at once"):
            server.start()


def test_what_a_killed_run_left_is_ended_and_removed_by_the_next(parent: Path) -> None:
    argv = [sys.executable, "-c", KILLED, str(parent), str(binaries.postgresql()), str(binaries.redis())]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        home = Path(process.stdout.readline().strip())
        process.send_signal(signal.SIGKILL)
    servers = {one.name() for one in scratch.working_in(home)}
    assert "postgres" in servers
    assert len(servers) == 2

    with scratch.folder(parent) as next_one:
        assert not home.exists()
        assert not scratch.working_in(home)
        assert list(parent.iterdir()) == [next_one]


def told_of_another_boot(home: Path) -> None:
    """Have the mark of HOME tell of a process of another boot, or of another container."""
    mark = json.loads((home / scratch.MARK).read_text())
    mark["process"]["place"] = "another boot"
    (home / scratch.MARK).write_text(json.dumps(mark))


def test_what_was_left_before_a_reboot_is_removed(parent: Path) -> None:
    argv = [sys.executable, "-c", ALONE, str(parent)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        home = Path(process.stdout.readline().strip())
        told_of_another_boot(home)
        assert scratch.clean(parent) == []
        process.send_signal(signal.SIGKILL)
    assert scratch.clean(parent) == [home]


def test_that_of_a_living_run_is_left_alone(parent: Path) -> None:
    with scratch.folder(parent) as first, scratch.folder(parent) as second:
        assert first.is_dir()
        assert scratch.clean(parent) == []
        assert first != second


def test_what_is_not_ours_is_refused(parent: Path, tmp_path: Path) -> None:
    def refused(made: Path) -> str:
        why = scratch.refusal(made, parent)
        assert why
        with pytest.raises(RestoreError, match="is not removed"):
            scratch.remove(made, parent)
        return why

    named = parent / "runbook-scratch-abcdefgh"
    assert "no folder" in refused(named)
    assert "name" in refused(parent)
    assert "name" in refused(Path("/"))
    assert "name" in refused(parent / "runbook-scratch-abcdefgh" / "..")
    named.mkdir()
    assert "mark" in refused(named)
    (named / "scratch.json").write_text("[]")
    assert "mark" in refused(named)
    (named / "scratch.json").write_text(json.dumps({"path": str(tmp_path)}))
    assert "mark" in refused(named)
    link = parent / "runbook-scratch-aaaaaaaa"
    link.symlink_to(named)
    assert "no folder" in refused(link)
    elsewhere = tmp_path / "runbook-scratch-bbbbbbbb"
    elsewhere.mkdir()
    assert "does not lie in" in refused(elsewhere)
    assert named.is_dir()
    assert elsewhere.is_dir()
    assert link.is_symlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_somebody_else_is_refused(parent: Path) -> None:
    with scratch.folder(parent) as home:
        os.chown(home, 65534, -1)
        assert "somebody else" in str(scratch.refusal(home, parent))
        os.chown(home, os.geteuid(), -1)


def test_a_shell_that_stands_in_the_folder_is_left_alone(parent: Path) -> None:
    with subprocess.Popen(["sleep", "100"], cwd="/") as other:
        with scratch.folder(parent) as home, subprocess.Popen(["sleep", "100"], cwd=home) as inside:
            until(lambda: inside.poll() is None)
            assert scratch.working_in(home) == []
            inside.kill()
        other.kill()


def test_a_folder_that_is_not_there_says_so(parent: Path) -> None:
    with pytest.raises(RestoreError, match=r"drill\.folder"), scratch.folder(parent / "nowhere"):
        pass


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_that_is_broken_off_while_it_is_made_does_not_stay(
    parent: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = clock.now

    def broken_off() -> datetime:
        signal.raise_signal(number)
        return now()

    monkeypatch.setattr(clock, "now", broken_off)
    before = signal.signal(number, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), scratch.folder(parent):
            pytest.fail("the interruption is lost")
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, before)
    assert list(parent.iterdir()) == []


def test_one_that_is_broken_off_while_it_is_removed_does_not_stay(
    parent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rmtree = shutil.rmtree

    def broken_off(found: Path) -> None:
        signal.raise_signal(signal.SIGINT)
        rmtree(found)

    monkeypatch.setattr(shutil, "rmtree", broken_off)
    with pytest.raises(KeyboardInterrupt), scratch.folder(parent) as home:
        (home / "data").mkdir()
    assert list(parent.iterdir()) == []


def test_a_machine_without_room_for_temporary_files_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)  # nobody has looked for it yet
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        with pytest.raises(RestoreError, match="no folder for temporary files can be written to\n  hint: make room"):
            scratch.place(None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_one_whose_removal_failed_goes_with_the_next(parent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failed(_: Path) -> None:
        raise OSError("the disk is gone")

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", failed)
        with pytest.raises(OSError, match="the disk is gone"), scratch.folder(parent) as home:
            (home / "data").mkdir()
    assert scratch.clean(parent) == [home]
    assert list(parent.iterdir()) == []

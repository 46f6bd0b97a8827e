"""What breaks while a backup is made: a clear error, nothing that looks whole and is not, and the next run cleans up."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from pytest_runbook.backup import closing, copying, programs, verify
from pytest_runbook.backup.destinations import Destination
from pytest_runbook.backup.progress import Progress
from pytest_runbook.errors import BackupError

from lab import Lab, backup
from lab.servers import REPOSITORY
from lab.servers.faultproxy import FaultProxy
from lab.servers.redis import Cache
from lab.servers.s3 import BUCKET
from tests.backup.conftest import Backups
from tests.backup.test_destinations import declared, keys
from tests.probes.databases import until


@contextmanager
def toxic(lab: Lab, front: str, kind: str, **attributes: int) -> Iterator[None]:
    """What goes wrong on the link before the server FRONT."""
    proxy = FaultProxy(lab.site)
    proxy.ask("add", front=front, name=f"test-{kind}", type=kind, stream="downstream", attributes=attributes)
    try:
        yield
    finally:
        proxy.ask("remove", front=front, name=f"test-{kind}")


RUNBOOK = [sys.executable, "-c", "from pytest_runbook.cli import main; main()"]


def command(backups: Backups, *arguments: str, limit: Callable[[], None] | None = None) -> subprocess.Popen[str]:
    environment = {**os.environ, **backups.lab.environment(), **backups.variables}
    return subprocess.Popen(
        [*RUNBOOK, "backup", *arguments],
        cwd=REPOSITORY,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=limit,  # noqa: PLW1509 - no threads hold locks here
    )


SLOW = """#!/bin/sh
case "$1" in --version) exec "{real}/pg_dump" --version ;; esac
while [ -e "{going}" ]; do sleep 0.2; done
exit 1
"""
"""A pg_dump that comes to no end until the file GOING is gone."""


@pytest.fixture
def slow(backups: Backups, tmp_path: Path) -> Iterator[Backups]:
    """The dump takes very long."""
    names = ("pg_dump", "pg_dumpall", "pg_restore")
    real = programs.postgresql(backups.settings().backup.programs.postgresql, names)
    folder, going = tmp_path / "programs", tmp_path / "going"
    folder.mkdir()
    for name in names[1:]:
        (folder / name).symlink_to(real / name)
    (folder / names[0]).write_text(SLOW.format(real=real, going=going))
    (folder / names[0]).chmod(0o755)
    backups.more["RUNBOOK__BACKUP__PROGRAMS__POSTGRESQL"] = str(folder)
    going.touch()
    yield backups
    going.unlink()


def dumping(process: subprocess.Popen[str]) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return [one for one in psutil.Process(process.pid).children(recursive=True) if one.name() == "pg_dump"]
    return []


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_one_that_is_killed_leaves_no_backup_and_the_next_one_cleans_up(slow: Backups, how: signal.Signals) -> None:
    process = command(slow, "--to", "local")
    until(lambda: dumping(process), 60)
    dumps = dumping(process)
    assert slow.left, "it is being made"
    process.send_signal(how)
    process.communicate(timeout=60)
    assert process.returncode == (2 if how != signal.SIGKILL else -signal.SIGKILL)
    assert slow.local.backups() == []
    if how != signal.SIGKILL:
        assert slow.left == []
        assert not [one for one in dumps if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def test_what_a_killed_one_left_is_removed_by_the_next(backups: Backups) -> None:
    partial = backups.folder / "backups" / ".partial-20200101T000000Z"
    (partial / "database").mkdir(parents=True)
    (partial / "database" / "toc.dat").write_bytes(b"half")
    outside = backups.folder / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    (backups.folder / "backups" / ".partial-20200102T000000Z").symlink_to(outside)
    assert backups.make().good
    assert not partial.exists()
    assert (outside / "precious").exists(), "a link is not followed"


def test_a_full_disk_is_told_and_leaves_nothing(backups: Backups) -> None:
    """As good as one: no file may have more than 20 kB."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))

    (backups.folder / "uploads" / "large").write_bytes(os.urandom(400_000))
    process = command(backups, "--to", "local", limit=limit)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1, errors
    assert "file too large" in errors.lower()
    assert backups.local.backups() == []
    assert backups.left == []


@pytest.mark.parametrize("front", ["database", "cache"])
def test_a_connection_that_is_lost_in_the_middle_is_told_and_leaves_nothing(backups: Backups, front: str) -> None:
    lab = backups.lab
    if front == "cache":
        with Cache(lab.site).connect() as client:
            client.set("large", os.urandom(1_000_000), ex=120)
    with toxic(lab, front, "bandwidth", rate=20), ThreadPoolExecutor(1) as pool:
        made = pool.submit(backups.make)
        until(lambda: backups.left, 60)
        time.sleep(1.0)
        with toxic(lab, front, "reset_peer"), pytest.raises(BackupError):
            made.result(120)
    assert backups.local.backups() == []
    assert backups.left == []


def test_what_the_killed_one_had_begun_off_site_is_finished_by_the_next(backups: Backups, s3: Destination) -> None:
    """The copy broke off before the manifest: there is no backup in the bucket, and the next run makes it one."""
    first = backups.make()
    for name in list(first.manifest.stored)[:3]:
        s3.write(first.manifest.id, name, backups.local.path(first.manifest.id) / name)
    assert s3.partial() == [first.manifest.id]
    second = backups.make("s3")
    assert second.good, second.problems
    assert s3.backups() == [first.manifest.id, second.manifest.id]
    assert s3.partial() == []


def test_what_nobody_can_finish_off_site_is_removed(backups: Backups, s3: Destination) -> None:
    path = backups.folder / "x"
    path.write_text("x")
    s3.write("20200101T000000Z", "roles.sql", path)
    backups.local.folder.mkdir()
    copying.begin(backups.local, s3, "20200101T000000Z")
    s3.write("20200102T000000Z", "roles.sql", path)
    assert backups.make("s3").good
    assert s3.partial() == ["20200102T000000Z"], "another system may be sending it"
    assert not [key for key in backups.objects() if key.startswith("20200101")]
    assert not [*(backups.folder / "backups").glob(".begun-*")]


def test_what_an_interrupted_prune_left_is_removed_by_the_next_backup(
    backups: Backups, s3: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = backups.make("s3", full=True).manifest.id
    for place in (backups.local, s3):
        with monkeypatch.context() as patch:
            patch.setattr(type(place), "_delete", dying(type(place)._delete))  # type: ignore[attr-defined]
            with pytest.raises(KeyboardInterrupt):
                place.remove(old)
        assert place.partial() == [old]
    assert backups.make("s3", full=True).good
    assert (backups.local.names(old), s3.names(old)) == ({}, {})


def test_what_cannot_be_removed_is_told_beside_what_was_made(backups: Backups) -> None:
    old, outside = "20200101T000000Z", backups.folder / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    (backups.folder / "backups" / ".removing-local").mkdir(parents=True)
    (backups.folder / "backups" / ".removing-local" / old).touch()
    (backups.folder / "backups" / old).symlink_to(outside)
    made = backups.make(prune=True)
    (problem,) = made.problems
    assert problem.startswith(
        f'local: what is old there is not removed: "{backups.folder / "backups" / old / "precious"}"'
    )
    assert "it is left alone" in problem
    assert [(one.destination, one.good) for one in made.verdicts] == [("local", True)]
    assert (outside / "precious").exists()


def dying(delete: Callable[[Destination, list[str]], None]) -> Callable[[Destination, list[str]], None]:
    """DELETE, which is interrupted once the manifest is gone."""

    def once(self: Destination, keys: list[str]) -> None:
        if "manifest.json" not in keys[0]:
            raise KeyboardInterrupt
        delete(self, keys)

    return once


def test_a_copy_that_was_begun_is_known_until_it_ends(backups: Backups, s3: Destination) -> None:
    made = backups.make()
    backups.local.path(made.manifest.id).joinpath("roles.sql").unlink()
    with pytest.raises((OSError, BackupError), match=r"roles\.sql"):
        copying.copy(backups.local, s3, made.manifest.id, Progress())
    assert s3.partial() == [made.manifest.id]
    backups.local.remove(made.manifest.id)
    assert copying.left_over(backups.local, s3) == []
    assert s3.partial() == []


def test_a_backup_of_another_environment_is_not_overwritten(backups: Backups, s3: Destination) -> None:
    made = backups.make("s3")
    backups.more["RUNBOOK__SYSTEM__ENVIRONMENT"] = "staging"
    with closing("s3", backups.settings(), backups.folder) as theirs:
        with pytest.raises(BackupError, match="it is left alone") as caught:
            copying.copy(backups.local, theirs, made.manifest.id, Progress())
        assert caught.value.reason == "other-system"
        assert "other-system" in verify(theirs, made.manifest.id, note=False).reasons
    assert verify(s3, made.manifest.id).good


def test_an_archive_of_an_earlier_backup_that_was_damaged_is_sent_again(backups: Backups, s3: Destination) -> None:
    first, second = backups.make("s3"), backups.make("s3")
    assert second.manifest.needs == {first.manifest.id}
    held = f"{first.manifest.id}/files.tar.zst"
    size = (backups.local.path(first.manifest.id) / "files.tar.zst").stat().st_size
    for content in (None, b"x" * size):
        if content is None:
            backup.s3(backups.lab.site).delete_object(Bucket=BUCKET, Key=f"{backups.prefix}/{held}")
        else:
            head = backup.s3(backups.lab.site).head_object(Bucket=BUCKET, Key=f"{backups.prefix}/{held}")
            backup.s3(backups.lab.site).put_object(
                Bucket=BUCKET, Key=f"{backups.prefix}/{held}", Body=content, Metadata=head["Metadata"]
            )
            assert not verify(s3, second.manifest.id).good
        third = backups.make("s3")
        assert third.good, (third.problems, third.verdicts)
        assert third.manifest.needs == {first.manifest.id}
        assert verify(s3, second.manifest.id).good


def test_a_damaged_archive_is_not_relied_on_again(backups: Backups) -> None:
    """Else every later backup would be bad, for ever."""
    first, second = backups.make(), backups.make()
    path = backups.local.path(first.manifest.id) / "files.tar.zst"
    path.write_bytes(b"x" * path.stat().st_size)
    third = backups.make()
    assert not third.good
    assert [one for one in (first, second) if backups.local.noted(one.manifest.id, "verified.json")] == []
    fourth = backups.make()
    assert fourth.good
    assert fourth.manifest.needs == set()


def test_a_copy_takes_what_it_needs_with_it(backups: Backups, s3: Destination) -> None:
    first = backups.make()
    second = backups.make("s3")
    assert second.manifest.needs == {first.manifest.id}
    assert s3.backups() == [first.manifest.id, second.manifest.id]
    assert verify(s3, second.manifest.id).good


def test_a_storage_that_does_not_serve_is_told_and_the_local_backup_stays(backups: Backups) -> None:
    with toxic(backups.lab, "storage", "down"):
        backups.more["RUNBOOK__PROBES__STORAGE__TIMEOUT"] = "1"
        made = backups.make("s3")
    assert not made.good
    assert made.problems and made.problems[0].startswith("s3: ")
    assert made.verdicts[0].good
    assert backups.objects() == []


def test_what_cannot_be_written_here_keeps_no_other_destination_from_its_copy(backups: Backups) -> None:
    backups.more |= keys(backups) | declared("folder-encrypted", backups.folder)
    (backups.folder / "backups").mkdir()
    (backups.folder / "backups" / ".sealed-other").write_text("in the way")
    made = backups.make("other", "s3")
    (problem,) = made.problems
    assert problem.startswith(f'other: "{backups.folder / "backups" / ".sealed-other"}')
    assert f"hint: see the disk of {backups.folder / 'backups'}" in problem
    assert [(one.destination, one.good) for one in made.verdicts] == [("local", True), ("s3", True)]


def test_a_storage_that_is_busy_for_a_moment_gets_the_backup_all_the_same(backups: Backups) -> None:
    with refusing(backups.lab.site.port("storage"), times=4) as (port, refused):
        backups.more["RUNBOOK__PROBES__STORAGE__ENDPOINT_URL"] = f"http://127.0.0.1:{port}"
        made = backups.make("s3")
    assert made.good, made.problems
    assert refused == [503] * 4


def test_an_upload_that_breaks_off_goes_on_where_it_was(backups: Backups, s3: Destination) -> None:
    """Nine parts on a slow link; those that arrived before it was cut are not sent again."""
    path = backups.folder / "large"
    path.write_bytes(os.urandom(9 * 8 << 20))
    sent: list[int] = []
    s3.advance = lambda size: sent.append(size) if size else None
    with toxic(backups.lab, "storage", "latency", latency=150), ThreadPoolExecutor(1) as pool:
        writing = pool.submit(s3.write, "20200101T000000Z", "large", path)
        until(lambda: len(sent) >= 3, 120)
        with toxic(backups.lab, "storage", "down"), pytest.raises(BackupError):
            writing.result(120)
    assert s3.names("20200101T000000Z") == {}
    assert s3.partial() == ["20200101T000000Z"]
    before = len(sent)
    assert before < 9
    calls: list[str] = []
    with closing("s3", backups.settings(), backups.folder) as again:
        client = again._connected[0]  # type: ignore[attr-defined]
        client.meta.events.register("before-call.s3.UploadPart", lambda **_: calls.append("part"))
        again.write("20200101T000000Z", "large", path)
    assert len(calls) <= 9 - before
    with s3.read("20200101T000000Z", "large") as file:
        assert file.read() == path.read_bytes()
    assert list(s3.begun(backups.prefix)) == []  # type: ignore[attr-defined]


def test_reading_goes_on_where_the_connection_broke(backups: Backups, s3: Destination) -> None:
    path = backups.folder / "large"
    path.write_bytes(os.urandom(12 << 20))
    s3.write("20200101T000000Z", "large", path)
    s3.tries = 6
    read = bytearray()
    with toxic(backups.lab, "storage", "bandwidth", rate=20_000), s3.read("20200101T000000Z", "large") as file:
        read += file.read(2 << 20)
        with toxic(backups.lab, "storage", "reset_peer"):
            time.sleep(0.2)
        while piece := file.read(1 << 20):
            read += piece
    assert read == path.read_bytes()


@contextmanager
def refusing(port: int, times: int) -> Iterator[tuple[int, list[int]]]:
    """A port before PORT that answers the first TIMES connections with 503, and says how often it did."""
    refused: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    client, _ = server.accept()
                    threading.Thread(target=answer, args=(client,), daemon=True).start()

        def answer(client: socket.socket) -> None:
            with client, suppress(OSError):
                if len(refused) < times:
                    refused.append(503)
                    client.recv(65536)
                    body = b"<Error><Code>SlowDown</Code><Message>Reduce your request rate</Message></Error>"
                    head = f"HTTP/1.1 503 Slow Down\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
                    client.sendall(head.encode() + body)
                    return
                with socket.create_connection(("127.0.0.1", port)) as real:
                    back = threading.Thread(target=pump, args=(real, client), daemon=True)
                    back.start()
                    pump(client, real)
                    back.join()

        def pump(source: socket.socket, sink: socket.socket) -> None:
            with suppress(OSError):
                while data := source.recv(65536):
                    sink.sendall(data)
            with suppress(OSError):
                sink.shutdown(socket.SHUT_WR)

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1], refused

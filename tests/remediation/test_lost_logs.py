"""Logs that were deleted while a process writes to them: who is found out, and so restarted, and who is left alone."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.remediation.acting import FOLDER, Acting, settings

SCRIPT = FOLDER / "lost-log.sh"
KEEPING = """
import os, sys, time
log = open(sys.argv[1], sys.argv[2])
os.unlink(sys.argv[1])
if sys.argv[2] == "a":
    log.write("a line that nobody can read")
    log.flush()
print("ready", flush=True)
time.sleep(60)
"""


def found(folder: Path, name: str = "web.log") -> str:
    """What the script prints about the log NAME of FOLDER."""
    done = subprocess.run([SCRIPT, folder, name], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def keeping(log: Path, *within: str, mode: str = "a") -> Iterator[int]:
    """A process that has opened LOG in MODE, and deleted it; started by the command WITHIN."""
    log.write_text("x\n")
    command = [*within, sys.executable, "-c", KEEPING, str(log), mode]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
            yield process.pid
        finally:
            process.kill()


@pytest.mark.parametrize("name", ["web.log", "web.log.1"])
def test_who_writes_to_a_log_that_was_deleted_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    with keeping(tmp_path / name) as process:
        assert found(tmp_path) == f"process {process} writes to {tmp_path / name} (deleted)\n"
        assert found(tmp_path, "another.log") == ""
        assert found(tmp_path / "elsewhere") == "", "it is a log of somebody else"
    assert found(tmp_path) == "", "it has ended"


def test_a_container_that_writes_to_a_log_that_was_deleted_is_named(tmp_path: Path) -> None:
    """It has another name for the folder: here one that is mounted for itself alone."""
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    inside.mkdir()
    mounting = 'mount --bind "$0" "$1" && shift && exec "$@"'
    within = ("unshare", "--mount", "sh", "-c", mounting, str(outside), str(inside))
    if subprocess.run([*within, "true"], capture_output=True, check=False).returncode:
        pytest.skip("nobody may mount anything here")
    with keeping(inside / "web.log", *within) as process:
        seen = found(outside)
    assert seen == f"process {process} writes to {inside / 'web.log'} (deleted)\n"


def test_who_only_reads_a_log_that_was_deleted_loses_no_line(tmp_path: Path) -> None:
    with keeping(tmp_path / "web.log", mode="r"):
        assert found(tmp_path) == ""


def test_who_only_keeps_a_log_open_loses_no_line(tmp_path: Path) -> None:
    log, hour = tmp_path / "web.log", 3600
    with keeping(log):
        log.write_text("x\n")
        os.utime(log, (time.time() - hour,) * 2)
        assert found(tmp_path), "nobody has written to the one in its place since"
        os.utime(log, (time.time() + hour,) * 2)
        assert found(tmp_path) == "", "others write to the one in its place"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_who_cannot_see_what_others_have_open_says_so() -> None:
    with tempfile.TemporaryDirectory(prefix="runbook-logs-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        script = folder / SCRIPT.name
        script.write_bytes(SCRIPT.read_bytes())
        script.chmod(0o755)
        nobody = pwd.getpwnam("nobody").pw_uid
        command = [str(script), name, "web.log"]
        done = subprocess.run(command, user=nobody, capture_output=True, text=True, check=False, timeout=60, cwd="/")
        assert (done.returncode, f'"{name}" belongs to root: run it as root' in done.stderr) == (2, True), done.stderr


def test_a_service_that_is_only_silent_is_not_restarted(tmp_path: Path) -> None:
    """On a quiet night nobody writes a line; the first lines of a restart would end the alarm, and nothing else."""
    log = tmp_path / "nightscan.log"
    book = Acting("logs-silent", settings(facts__paths__logs=tmp_path), ["web/logging::log_is_written"])
    with log.open("w") as file:
        file.write("the last line\n")
        file.flush()
        assert not book.needed("restart")
        log.unlink()
        assert book.needed("restart"), "it goes where nobody can read it"
    assert not book.needed("restart")
    lost = settings(facts__paths__logs=tmp_path / "gone")
    assert "there is no folder" in Acting("logs-silent", lost).unseen("restart")

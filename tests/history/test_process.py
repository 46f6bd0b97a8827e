"""Whether a process is gone: certain only where it can be seen."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from pytest_runbook.process import Process

from tests.probes.databases import as_server


def process_of(child: subprocess.Popen[bytes]) -> Process:
    fields = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
    return replace(Process.current(), pid=child.pid, started=int(fields[19]))


def test_this_process_is_here() -> None:
    mine = Process.current()
    assert mine.pid == os.getpid()
    assert mine == Process.current()
    assert not mine.gone
    assert mine.lives is True


def test_ended_process_is_gone_before_its_parent_looks() -> None:
    """Killed, and a zombie until then."""
    child = subprocess.Popen(["sleep", "60"])
    process = process_of(child)
    assert not process.gone
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert process.gone
    child.wait()
    assert process.gone


def test_process_with_a_used_number_is_another() -> None:
    mine = Process.current()
    assert replace(mine, started=mine.started + 1).gone


def test_process_of_another_user_is_seen() -> None:
    """The first process of the machine is root's."""
    look = "import sys; from pytest_runbook.process import Process; from dataclasses import replace;"
    look += " sys.exit(replace(Process.current(), pid=1, started=int(sys.argv[1])).gone)"
    started = Path("/proc/1/stat").read_text().rpartition(")")[2].split()[19]
    done = subprocess.run(as_server([sys.executable, "-c", look, started]), check=False, cwd="/")
    assert done.returncode == 0


def test_name_of_a_process_may_hold_anything(tmp_path: Path) -> None:
    program = tmp_path / "a) R 1 (b"
    program.symlink_to("/bin/sleep")
    child = subprocess.Popen([str(program), "60"])
    process = process_of(child)
    assert not process.gone
    child.kill()
    child.wait()


def test_process_elsewhere_is_not_judged() -> None:
    elsewhere = replace(Process.current(), place="elsewhere", started=0)
    assert not elsewhere.gone
    assert elsewhere.lives is None

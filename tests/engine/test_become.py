"""Programs that become another user: they pass through folders that only root may enter, and keep nothing else of root's."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest
from pytest_runbook import become

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

ALLOWED = "import os, sys; print(os.access(sys.argv[1], os.R_OK | os.X_OK))"
HELD = "print(open('/proc/self/status').read())"


def asked(script: str, *arguments: str) -> str:
    argv = become.command(become.unprivileged(), [sys.executable, "-I", "-S", "-c", script, *arguments])
    return subprocess.run(argv, capture_output=True, text=True, check=True, cwd="/").stdout.strip()


def test_access_finds_a_program_in_a_folder_that_only_root_may_enter(tmp_path: Path) -> None:
    """As the wheel of PostgreSQL in a virtual environment below /root: initdb asks whether it may run `postgres`."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    program = closed / "postgres"
    program.touch(mode=0o755)
    assert asked(ALLOWED, str(program)) == "True"


def test_nothing_else_of_what_root_may_do_is_kept() -> None:
    said = dict(line.split(":\t", 1) for line in asked(HELD).splitlines() if ":\t" in line)
    entry = pwd.getpwnam(become.unprivileged() or "")
    assert (said["Uid"].split(), said["Gid"].split()) == ([str(entry.pw_uid)] * 4, [str(entry.pw_gid)] * 4)
    held = {int(said[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")}
    assert held == {1 << become._passing_capability()}

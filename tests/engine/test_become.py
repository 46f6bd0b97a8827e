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
CAPABILITIES = ("CapInh", "CapPrm", "CapEff", "CapAmb")


def asked(*argv: str) -> str:
    command = become.command(become.unprivileged(), argv)
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd="/").stdout.strip()


def held(*paths: Path) -> dict[str, str]:
    """What the system says of a program of the other user that is given PATHS."""
    said = asked("/bin/sh", "-c", "cat /proc/self/status", "sh", *map(str, paths))
    return dict(line.split(":\t", 1) for line in said.splitlines() if ":\t" in line)


def test_access_finds_a_program_in_a_folder_that_only_root_may_enter(tmp_path: Path) -> None:
    """As the wheel of PostgreSQL in a virtual environment below /root: initdb asks whether it may run `postgres`."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    program = closed / "postgres"
    program.touch(mode=0o755)
    assert asked(sys.executable, "-I", "-S", "-c", ALLOWED, str(program)) == "True"


def test_of_what_root_may_do_only_the_way_through_a_closed_folder_is_kept(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o700)
    (tmp_path / "closed" / "file").touch(mode=0o644)
    said, entry = held(tmp_path / "closed" / "file"), pwd.getpwnam(become.unprivileged() or "")
    assert (said["Uid"].split(), said["Gid"].split()) == ([str(entry.pw_uid)] * 4, [str(entry.pw_gid)] * 4)
    assert {int(said[name], 16) for name in CAPABILITIES} == {1 << become._passing_capability()}


def test_who_gets_everywhere_without_it_keeps_nothing() -> None:
    """A dump that is restored into a scratch server may hold code that reads files."""
    said = held(Path("/etc"), Path("/etc/passwd"), Path("/etc/passwd/is no folder"), Path("/etc/there-is-none"))
    assert {int(said[name], 16) for name in CAPABILITIES} == {0}

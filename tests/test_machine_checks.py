"""Checks of a machine that is built in an uncommon way: links in place of folders, disks and networks of their own."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from pytest_runbook.model import Outcome, Result

from tests.looking import looked

MONTHS = 90 * 86_400


def result(check: str, told: dict[str, Any], report: Path) -> Result:
    (found,) = looked([check], told, report).results
    return found


def test_logs_behind_a_link_are_looked_at(tmp_path: Path) -> None:
    logs = tmp_path / "disk" / "logs"
    logs.mkdir(parents=True)
    (old := logs / "web.log.1").write_text("long ago\n")
    os.utime(old, (time.time() - MONTHS,) * 2)
    link = tmp_path / "logs"
    link.symlink_to(logs)
    seen = result("host/freshness::old_logs_are_gone", {"facts.paths.logs": str(link)}, tmp_path / "report")
    assert (seen.outcome, seen.measurements[0].value) == (Outcome.FAILED, 1)
    assert "web.log.1" in seen.message


def test_backups_behind_a_link_take_room(tmp_path: Path) -> None:
    backup = tmp_path / "disk" / "20261126T120000Z"
    backup.mkdir(parents=True)
    (backup / "files.tar").write_bytes(b"x" * 2**20)
    link = tmp_path / "backups"
    link.symlink_to(backup.parent)
    most = {"limits.deploy.disk_room": "0", "limits.deploy.backups": str(2**40)}
    told = {"facts.paths.backups": str(link), **most}
    seen = result("host/capacity::room_for_the_deployment", told, tmp_path / "report")
    assert (seen.outcome, seen.measurements[0].ok) == (Outcome.FAILED, False)


def test_a_disk_that_only_the_database_writes_to_counts(tmp_path: Path) -> None:
    told = {"facts.host.data": ["/dev/shm", "/nowhere/at/all"], "limits.host.disk": "2"}
    seen = result("host/capacity::disk", told, tmp_path / "report")
    assert seen.outcome == Outcome.PASSED
    assert {"disk./dev/shm", "disk./"} <= {one.name for one in seen.measurements}


@pytest.fixture
def address() -> str:
    """An address of this machine that others reach."""
    known = [
        one.address for entries in psutil.net_if_addrs().values() for one in entries if one.family == socket.AF_INET
    ]
    elsewhere = [one for one in known if not one.startswith("127.")]
    if not elsewhere:
        pytest.skip("this machine has no address but its own loopback")
    return elsewhere[0]


@pytest.mark.parametrize("trusted", [False, True])
def test_a_trusted_network_is_not_the_world(address: str, trusted: bool, tmp_path: Path) -> None:
    with socket.create_server((address, 0)) as server:
        port = server.getsockname()[1]
        networks = [f"{address}/24"] if trusted else ["203.0.113.0/24"]
        told = {"facts.host.private_ports": {"database": port}, "facts.host.private_networks": networks}
        seen = result("host/security::data_is_not_served_to_the_world", told, tmp_path / "report")
    if trusted:
        assert (seen.outcome, seen.message) == (Outcome.PASSED, "")
    else:
        assert seen.outcome == Outcome.FAILED
        assert f"database at {address}:{port}" in seen.message

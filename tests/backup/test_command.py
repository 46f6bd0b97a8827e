"""`runbook backup`: what it says, how it ends, and that no secret is seen on the way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress

import psutil
import pytest

from lab.servers import REPOSITORY
from tests.backup.conftest import Backups

RUNBOOK = [sys.executable, "-c", "from pytest_runbook.cli import main; main()"]


def run(backups: Backups, *arguments: str, command: str = "backup") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **backups.lab.environment(), **backups.variables}
    return subprocess.run(
        [*RUNBOOK, command, *arguments],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_a_backup_is_made_copied_listed_verified_and_pruned(backups: Backups) -> None:
    done = run(backups, "--json")
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert made["good"] is True
    assert [(one["destination"], one["good"]) for one in made["destinations"]] == [("local", True), ("s3", True)]
    listed = json.loads(run(backups, "--list", "--json").stdout)
    assert [(one["id"], one["destination"]) for one in listed] == [(made["id"], "local"), (made["id"], "s3")]
    assert all(one["verified"] for one in listed)
    verified = run(backups, "--verify", "newest")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert f"{made['id']} in s3: good" in verified.stdout
    pruned = run(backups, "--prune", "--dry-run")
    assert pruned.returncode == 0
    assert f"{made['id']}  local  kept: not older than 30 days" in pruned.stdout
    toc = backups.local.path(made["id"]) / "database" / "toc.dat"
    toc.write_bytes(toc.read_bytes()[:-1])
    broken = run(backups, "--verify", made["id"], "--from", "local")
    assert broken.returncode == 1
    assert "truncated: database/toc.dat" in broken.stdout


def test_there_is_nothing_at_first(backups: Backups) -> None:
    assert run(backups, "--list").stdout == "there is no backup yet\n"
    done = run(backups, "--verify", "newest", "--from", "local")
    assert done.returncode == 1
    assert "no-manifest: there is no backup" in done.stdout


def test_what_lies_here_is_listed_also_when_the_storage_is_gone(backups: Backups) -> None:
    made = backups.make()
    backups.more["RUNBOOK__PROBES__STORAGE__ENDPOINT_URL"] = "http://127.0.0.1:1"
    done = run(backups, "--list")
    assert done.returncode == 1
    assert made.manifest.id in done.stdout
    assert "s3: " in done.stderr and "refused" in done.stderr


@pytest.mark.parametrize("arguments", [["--to", "moon"], ["--list", "--from", "moon"], ["--set", "backup.local=s3"]])
def test_bad_names_end_with_4(backups: Backups, arguments: list[str]) -> None:
    done = run(backups, *arguments)
    assert done.returncode == 4, done.stdout + done.stderr
    assert "known:" in done.stderr


def test_no_password_is_on_a_command_line_or_in_the_output(backups: Backups) -> None:
    seen: set[str] = set()
    stop = threading.Event()

    def watch() -> None:
        while not stop.is_set():
            for one in psutil.process_iter():
                with suppress(psutil.Error):
                    seen.add(" ".join(one.cmdline()))
            time.sleep(0.005)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        done = run(backups, "--to", "local")
    finally:
        stop.set()
        watcher.join()
    assert done.returncode == 0
    assert any("pg_dump" in line and str(backups.folder) in line for line in seen)
    secrets = [backups.lab.site.secret(name) for name in ("database", "cache", "storage")]
    assert not [line for line in seen for secret in secrets if secret in line]
    assert not [secret for secret in secrets if secret in done.stdout + done.stderr]

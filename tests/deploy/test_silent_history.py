"""A deployment whose history does not answer goes back all the same, and says what is not on record."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.deploy.shop import GOOD, Shop
from tests.probes.databases import PostgresServer, server_folder

BAD = "2.0-failing"
ONCE = ("--set", "deploy.confirm.passes=1", "--set", "deploy.confirm.of=1")


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """Where the history is."""
    with server_folder() as folder:
        server = PostgresServer(folder / "data", {})
        try:
            server.create()
            server.start()
            yield server
        finally:
            server.stop()


@pytest.fixture
def there(market: Shop, server: PostgresServer) -> tuple[str, ...]:
    """What has MARKET keep its history in SERVER."""
    market.history = server.uri().replace("postgresql://", "postgresql+psycopg://")
    return ("--set", f"history.url={market.history}")


@contextmanager
def halted(process: subprocess.Popen[str], after: str) -> Iterator[None]:
    """PROCESS stands still, since it has told that the phase AFTER has ended."""
    assert process.stdout
    while not (line := process.stdout.readline()).startswith(after):
        assert line, f"{after} was not told"
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def test_a_bad_version_is_taken_back_while_the_history_stays_away(
    market: Shop, server: PostgresServer, there: tuple[str, ...]
) -> None:
    process = market.begin("deploy", BAD, *there, *ONCE)
    with halted(process, "healthy"):
        server.stop(signal.SIGQUIT)
    output, _ = process.communicate(timeout=180)
    assert process.returncode == 1, output
    assert market.served() == {GOOD}
    assert "; what is done meanwhile is written there once it answers again" in output
    assert "hint: runbook deploy --abort ends it there as well" in output
    assert "rolled-back: verify failed: " in output
    server.start()
    assert market.row.ended is None
    code, output = market.runbook("deploy", "--abort", *there)
    assert (code, market.row.outcome, market.served()) == (0, "rolled-back", {GOOD}), output


@pytest.mark.parametrize("version", ["1.4.3", "2.0-blind"])
def test_what_would_be_watched_or_held_is_taken_back_when_the_history_stays_away(
    market: Shop, server: PostgresServer, there: tuple[str, ...], version: str
) -> None:
    """Nobody could take it up where it was."""
    process = market.begin("deploy", version, "--soak", "600", *there, *ONCE)
    with halted(process, "healthy"):
        server.stop(signal.SIGQUIT)
    output, _ = process.communicate(timeout=180)
    assert process.returncode == 1, output
    assert market.served() == {GOOD}
    why = output.partition("rolled-back: ")[2]
    assert ' failed: history "postgresql' in why or "verify could not be judged: " in why


def test_a_bad_version_that_fills_the_disk_of_the_history_is_taken_back(market: Shop) -> None:
    """On a disk of its own, in a name space where we may mount one."""
    spaces = ("unshare", "--user", "--map-root-user", "--mount") if os.geteuid() else ("unshare", "--mount")
    if not shutil.which("unshare") or subprocess.run([*spaces, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a disk")
    disk = market.folder / "var" / "disk"
    disk.mkdir(parents=True)
    mounted = (*spaces, "sh", "-c", 'mount -t tmpfs -o size=2m tmpfs "$0" && exec "$@"', str(disk))
    there = ("--set", f"history.url=sqlite:///{disk}/history.db")
    process = market.begin("deploy", BAD, *there, *ONCE, inside=mounted)
    rest = Path(f"/proc/{process.pid}/root{disk}/rest")
    with halted(process, "healthy"), suppress(OSError), rest.open("ab", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    output, _ = process.communicate(timeout=180)
    assert process.returncode == 1, output
    assert market.served() == {GOOD}
    assert "database or disk is full; what is done meanwhile" in output
    assert "hint: free some space" in output


def test_going_back_without_a_history_that_cannot_be_used(
    market: Shop, server: PostgresServer, there: tuple[str, ...]
) -> None:
    """As when the process of a deployment died with the server of its history."""
    back = ("rollback", "--to", GOOD, "--without-history", *there)
    assert market.runbook("deploy", "2.0-blind", *there, *ONCE)[0] == 6
    code, output = market.runbook(*back, "--yes", "Shop")
    assert (code, "the history can be used" in output, market.served()) == (4, True, {"2.0-blind"}), output
    server.stop()
    for words in (("deploy", "--abort"), ("rollback",)):
        code, output = market.runbook(*words, *there)
        assert code == 4, output
        assert "cannot be read: " in output
        assert "; runbook rollback --to VERSION --without-history goes back without it" in output
    code, output = market.runbook(*back)
    assert (
        code,
        'nobody can be asked for the name of the system: nothing was done\n  hint: --yes "Shop"' in output,
    ) == (4, True)
    assert market.served() == {"2.0-blind"}
    code, output = market.runbook(*back, "--yes", "Shop")
    assert (code, market.served()) == (0, {GOOD}), output
    assert "nothing of this is on record, and nothing takes it up: runbook deploy --status" in output
    server.start()
    assert (market.row.version, market.row.ended) == ("2.0-blind", None)
    assert market.runbook("deploy", "--abort", *there)[0] == 0


def test_the_version_before_is_not_known_without_a_history(market: Shop) -> None:
    code, output = market.runbook("rollback", "--without-history", "--yes", "Shop")
    assert (code, "--without-history needs --to VERSION" in output) == (4, True), output

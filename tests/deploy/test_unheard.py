"""Whoever stops listening, loses the session or breaks the command off, the exit code is that of what runs."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import time

from tests.deploy.shop import GOOD, Shop

BAD = "2.0-failing"


def reached(market: Shop, process: subprocess.Popen[str], phase: str) -> None:
    """Wait until the deployment of PROCESS is in PHASE."""
    end = time.monotonic() + 90
    while not (rows := market.store.deployments(1)) or phase not in [one.phase for one in rows[0].phases]:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end, f"{phase} was not reached"
        time.sleep(0.02)


def test_a_pipe_that_nobody_reads_any_more_ends_no_deployment(market: Shop) -> None:
    process = market.begin("deploy", BAD)
    assert process.stdout
    while not (line := process.stdout.readline()).startswith("switch"):
        assert line, "no switch was told"
    process.stdout.close()
    assert process.wait(120) == 1
    assert (market.row.outcome, market.served()) == ("rolled-back", {GOOD})


def test_a_lost_session_leaves_the_phase_on_record_to_be_finished(market: Shop) -> None:
    process = market.begin("deploy", BAD, "--soak", "60", "--set", "deploy.confirm.interval=5")
    reached(market, process, "verify")
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGHUP)  # the shell says so as well as the kernel
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2, output
    assert "interrupted in the middle of a deployment\n  hint: runbook deploy --status" in output
    assert market.row.ended is None
    code, output = market.runbook("deploy", "--abort")
    assert (code, market.served()) == (0, {GOOD}), output


def test_what_nobody_thought_of_is_told_as_unfinished(market: Shop) -> None:
    process = market.begin("deploy", "1.4.3", "--soak", "20", "--set", "deploy.lease=2")
    reached(market, process, "soak")
    with sqlite3.connect(market.folder / "var" / "history.db", timeout=30) as history:
        history.execute("DELETE FROM locks")
    history.close()
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 6, output
    assert 'it is not at its end: the lock of "' in output
    assert "--resume goes on" in output
    assert market.runbook("deploy", "--resume", "--set", "deploy.lease=2")[0] == 0
    assert market.served() == {"1.4.3"}

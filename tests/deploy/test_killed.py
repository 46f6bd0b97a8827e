"""Killed anywhere, a deployment is finished by the next command: on the new version, or on the one before, verified."""

from __future__ import annotations

import random
import signal
import time
from datetime import timedelta

import pytest
from pytest_runbook import clock
from pytest_runbook.history.schema import deployments, locks
from pytest_runbook.runbooks import family
from sqlalchemy import NullPool, create_engine, update

from tests.deploy.shop import GOOD, Shop

NEW, BAD = "1.4.3", "2.0-failing"
FORTH = ("gate", "baseline", "switch", "healthy", "verify", "soak")
BACK = ("switch-back", "healthy-back", "verify-back")
PLACES = [
    *((NEW, phase, 0.1, ("--resume", "--abort")[number % 2]) for number, phase in enumerate(FORTH)),
    *((NEW, "switch", wait, way) for wait in (0.2, 0.9) for way in ("--resume", "--abort")),
    (NEW, "verify", 0.5, "--abort"),
    *((BAD, phase, 0.3, ("--resume", "--abort")[number % 2]) for number, phase in enumerate(BACK)),
]
"""Version, the phase in which it is killed, how many seconds after its beginning, and how it is finished."""


def kill(market: Shop, version: str, phase: str, wait: float, *options: str) -> str:
    """Kill a deployment of VERSION so long after PHASE began, and answer its run."""
    last = max((row.id for row in market.store.deployments(1)), default=0)
    process = market.begin("deploy", version, "--soak", "1", *options)
    end = time.monotonic() + 90
    while True:
        rows = market.store.deployments(1)
        if rows and rows[0].id > last and any(one.phase == phase for one in rows[0].phases):
            break
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end, f"{phase} was not reached"
        time.sleep(0.02)
    time.sleep(wait)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return rows[0].run


@pytest.mark.parametrize(("version", "phase", "wait", "way"), PLACES)
def test_killed_deployment_is_told_and_finished(market: Shop, version: str, phase: str, wait: float, way: str) -> None:
    run = kill(market, version, phase, wait)
    if market.row.ended:
        pytest.skip("it had ended before it was killed")
    code, output = market.runbook("deploy", "--status")
    assert code == 6, output
    assert "its process is gone" in output
    code, output = market.runbook("deploy", way)
    row = market.row
    assert row.ended, output
    assert row.open_phase is None
    assert not family.marked(f"{run}.")
    if row.outcome == "deployed":
        assert (code, market.served(), way) == (0, {NEW}, "--resume"), output
        assert [one.phase for one in row.phases if one.outcome == "done"][-1] == "soak"
    elif row.outcome == "aborted":
        assert (code, market.served(), way) == (0, {GOOD}, "--abort"), output
        assert phase in ("gate", "baseline")
    else:
        assert (row.outcome, market.served()) == ("rolled-back", {GOOD}), output
        assert (row.phases[-1].phase, row.phases[-1].outcome) == ("verify-back", "done")
    assert market.runbook("deploy", "--status")[0] == 0


def test_killed_again_while_it_is_finished(market: Shop) -> None:
    """Twice in a row, at moments by chance; the third ends it."""
    kill(market, NEW, "switch", 0.2)
    for _ in range(2):
        process = market.begin("deploy", "--resume")
        time.sleep(random.uniform(0.8, 2.5))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    if not market.row.ended:
        market.runbook("deploy", "--abort")
    row = market.row
    assert row.outcome in ("rolled-back", "deployed")
    assert market.served() == ({NEW} if row.outcome == "deployed" else {GOOD})


def test_after_a_restart_of_the_machine_it_is_not_going_on_and_who_waits_is_told(market: Shop) -> None:
    kill(market, NEW, "verify", 0.1)
    elsewhere = {"place": "another boot of this machine"}
    quiet = {"renewed": clock.now() - timedelta(hours=3), "lease": 1.0}
    with create_engine(f"sqlite:///{market.folder}/var/history.db", poolclass=NullPool).begin() as connection:
        connection.execute(update(deployments).values(**elsewhere))
        connection.execute(update(locks).values(**elsewhere, **quiet))
    code, output = market.runbook("deploy", "--status")
    assert code == 6, output
    assert "nothing was heard of its process" in output
    assert "it is going on" not in output
    code, output = market.runbook("deploy", "--resume")
    assert code == 0, output
    assert output.startswith('waits 500 ms for "the deployment": since 20')
    assert market.served() == {NEW}


def test_interrupted_deployment_says_how_to_go_on(market: Shop) -> None:
    process = market.begin("deploy", NEW)
    while not (rows := market.store.deployments(1)) or rows[0].open_phase is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2, output
    assert "runbook deploy --status" in output
    assert market.runbook("deploy", "--resume")[0] == 0
    assert market.served() == {NEW}

"""Rollback where nothing is as it should be: what was deployed crashed, or only a part of it was deployed last."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.deploy.shop import GOOD, Shop

NEW = "1.4.3"


def crash(market: Shop, service: str) -> None:
    """Kill SERVICE, which nobody starts again."""
    os.killpg(int(market.processes(service)[service].split()[-1]), signal.SIGKILL)
    while market.processes(service)[service].startswith("RUNNING"):
        time.sleep(0.05)


@pytest.mark.parametrize("words", [(), ("--to", GOOD)])
def test_service_that_crashed_is_rolled_back(market: Shop, words: tuple[str, ...]) -> None:
    assert market.runbook("deploy", NEW)[0] == 0
    crash(market, "web")
    code, output = market.runbook("rollback", *words)
    assert code == 0, output
    assert output.splitlines()[0] == f"web: {NEW} -> {GOOD}"
    assert market.served() == {GOOD}


def test_rollback_to_the_version_that_crashed_starts_it(market: Shop) -> None:
    crash(market, "web")
    code, output = market.runbook("rollback", "--to", GOOD)
    assert code == 0, output
    assert market.served() == {GOOD}


def test_rollback_says_so_when_nothing_tells_the_version_of_a_service_that_crashed(market: Shop) -> None:
    crash(market, "web")
    variables = market.folder / "env"
    variables.write_text(variables.read_text().replace(f"VERSION={GOOD}\n", ""))
    code, output = market.runbook("rollback", "--to", "1.4.1")
    assert code == 4, output
    assert f'"{variables}" does not say "VERSION"' in output
    assert market.store.deployments() == []

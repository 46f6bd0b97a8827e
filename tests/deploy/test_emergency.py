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


def test_rollback_after_a_part_was_deployed_takes_back_that_part_only(market: Shop) -> None:
    assert market.runbook("deploy", NEW)[0] == 0
    assert market.runbook("deploy", "1.4.4", "--services", "ml")[0] == 0
    untouched = market.processes("web")
    code, output = market.runbook("rollback")
    assert code == 0, output
    assert output.splitlines()[0] == f"ml: 1.4.4 -> {NEW}"
    assert market.served() == {NEW}
    assert market.processes("web") == untouched
    assert f"\nVERSION={NEW}\n" in (market.folder / "env").read_text()
    code, output = market.runbook("rollback", "--dry-run")
    assert (code, output.splitlines()[:2]) == (0, [f"web: {NEW} -> {GOOD}", f"ml: {NEW} -> {GOOD}"])


def test_one_variable_is_not_taken_back_to_two_versions(market: Shop) -> None:
    assert market.runbook("deploy", NEW)[0] == 0
    assert market.runbook("deploy", "1.4.4", "--services", "ml")[0] == 0
    code, output = market.runbook("rollback", "--services", "web,ml")
    assert code == 4, output
    assert f'"web" would go back to "{GOOD}" and "ml" to "{NEW}"' in output
    assert f'VERSION in "{market.folder}/env"' in output
    assert (market.serves("web"), market.serves("ml")) == (NEW, "1.4.4")


def test_services_of_one_variable_that_run_two_versions_are_brought_to_one_first(market: Shop) -> None:
    """Gone back from, one of them would run at its next start what the other one ran."""
    assert market.runbook("deploy", NEW)[0] == 0
    assert market.runbook("deploy", "1.4.4", "--services", "ml")[0] == 0
    code, output = market.runbook("deploy", "2.0-failing")
    assert code == 4, output
    assert f'"web" runs "{NEW}" and "ml" "1.4.4", and both have one version, VERSION in "{market.folder}/env"' in output
    assert f"runbook deploy 1.4.4 --services web, or runbook deploy {NEW} --services ml" in output
    assert (market.serves("web"), market.serves("ml")) == (NEW, "1.4.4")
    assert market.runbook("deploy", "1.4.4", "--services", "web")[0] == 0
    assert market.runbook("deploy", "2.0-no-start")[0] == 1
    assert market.served() == {"1.4.4"}
    assert "\nVERSION=1.4.4\n" in (market.folder / "env").read_text()


def test_rollback_takes_back_a_service_that_is_not_deployed_by_default(market: Shop) -> None:
    told = ("--set", 'deploy.services=["web"]')
    code, output = market.runbook("deploy", NEW, *told)
    assert code == 0, output
    assert market.runbook("deploy", NEW, "--services", "ml", *told)[0] == 0
    code, output = market.runbook("rollback", *told, "--dry-run")
    assert (code, output.splitlines()[0]) == (0, f"ml: {NEW} -> {GOOD}")

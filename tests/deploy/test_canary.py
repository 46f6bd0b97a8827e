"""A new version runs beside the services first: a bad one never comes to them, and no canary is left running."""

from __future__ import annotations

import signal
import time
from datetime import UTC, datetime, timedelta

import pytest

from tests.deploy.shop import CANARIES, GOOD, SERVICES, Shop
from tests.deploy.test_killed import kill

NEW = "1.4.3"
BAD = {
    "2.0-slow": "page.time is",
    "2.0-failing": "/ answered 500",
    "2.0-no-start": "the canary of web is stopped",
    "2.0-mute": "the canary of web: /health answered 503",
}
"""Version to what is seen of its canary."""


@pytest.fixture
def untouched(market: Shop) -> tuple[dict[str, str], str]:
    """The processes of the services and their variables, as they have to be left."""
    return market.processes(*SERVICES), (market.folder / "env").read_text()


def now(market: Shop) -> tuple[dict[str, str], str]:
    return market.processes(*SERVICES), (market.folder / "env").read_text()


def no_canary(market: Shop) -> bool:
    """Whether none runs, by what supervisord says of each."""
    found = market.processes(*CANARIES)
    return set(found) == set(CANARIES) and not any(said.startswith(("RUNNING", "STARTING")) for said in found.values())


def test_good_version_goes_on_to_the_services(market: Shop) -> None:
    code, output = market.runbook("deploy", NEW, "--canary")
    assert code == 0, output
    assert market.served() == {NEW}
    done = ["gate", "baseline", "canary", "canary-stop", "switch", "healthy", "verify"]
    assert market.phases == [(phase, "done") for phase in done]
    assert no_canary(market)
    assert "VERSION=1.4.3" in (market.folder / "canary-env").read_text()
    assert len(list((market.folder / "var" / "runs" / "canaries").glob("*/run.json"))) == 1


@pytest.mark.parametrize("version", BAD)
def test_bad_version_never_comes_to_the_services(
    market: Shop, untouched: tuple[dict[str, str], str], version: str
) -> None:
    code, output = market.runbook("deploy", version, "--canary")
    assert code == 5, output
    assert market.row.outcome == "refused"
    assert (market.row.why or "").startswith("canary failed: ")
    assert BAD[version] in (market.row.why or "")
    assert market.phases[-2:] == [("canary", "failed"), ("canary-stop", "done")]
    assert now(market) == untouched
    assert no_canary(market)
    assert market.runbook("deploy", "--status")[0] == 0


def test_version_that_fails_after_a_while_is_found_out_where_nobody_meets_it(
    market: Shop, untouched: tuple[dict[str, str], str]
) -> None:
    process = market.begin("deploy", "2.0-failing-late", "--canary", "--soak", "60")
    while not (rows := market.store.deployments(1)) or "canary" not in [phase.phase for phase in rows[0].phases]:
        assert process.poll() is None
        time.sleep(0.1)
    time.sleep(3)
    (market.folder / "late").touch()
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 5, output
    assert now(market) == untouched
    assert no_canary(market)


def test_nobody_can_tell_so_it_is_held_and_looked_at_again(market: Shop, untouched: tuple[dict[str, str], str]) -> None:
    code, output = market.runbook("deploy", "2.0-blind", "--canary")
    assert code == 6, output
    assert "canary could not be judged" in (market.row.held or "")
    assert "the service tells no figures (could not look)" in output
    assert now(market) == untouched
    assert no_canary(market)
    code, output = market.runbook("deploy", "--resume")
    assert code == 6, output
    assert market.phases.count(("canary", "inconclusive")) == 2
    code, output = market.runbook("deploy", "--abort")
    assert code == 0, output
    assert (market.row.outcome, market.row.why) == ("aborted", "nothing was changed")
    assert now(market) == untouched
    assert no_canary(market)


@pytest.mark.parametrize(("wait", "way"), [(0.1, "--resume"), (0.7, "--abort"), (2.0, "--resume"), (3.0, "--abort")])
def test_killed_while_a_canary_runs(market: Shop, untouched: tuple[dict[str, str], str], wait: float, way: str) -> None:
    kill(market, NEW, "canary", wait, "--canary")
    code, output = market.runbook("deploy", "--status")
    assert code == 6, output
    assert "it was ended in canary" in output
    assert "a canary of it may still run" in output
    assert now(market) == untouched
    code, output = market.runbook("deploy", way)
    assert code == 0, output
    assert no_canary(market)
    phases = [phase for phase, _ in market.phases]
    if way == "--abort":
        assert (market.row.outcome, phases[2:]) == ("aborted", ["canary", "canary-stop"])
        assert now(market) == untouched
    else:
        assert market.row.outcome == "deployed"
        assert phases[2:7] == ["canary", "canary-stop", "gate", "baseline", "canary"]
        assert market.served() == {NEW}


def test_interrupted_deployment_leaves_no_canary(market: Shop, untouched: tuple[dict[str, str], str]) -> None:
    process = market.begin("deploy", NEW, "--canary")
    while not any("RUNNING" in said for said in market.processes(*CANARIES).values()):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2, output
    assert no_canary(market)
    assert now(market) == untouched
    assert "may still run" not in market.runbook("deploy", "--status")[1]
    assert market.runbook("deploy", "--abort")[0] == 0


def test_canary_that_cannot_be_stopped_is_told_until_it_can(
    market: Shop, untouched: tuple[dict[str, str], str]
) -> None:
    (market.folder / "stuck").touch()
    code, output = market.runbook("deploy", "2.0-failing", "--canary", "--set", "deploy.restart=3")
    assert code == 6, output
    assert "the canary of web may still run" in (market.row.held or "")
    assert "canary failed" in (market.row.held or "")
    assert now(market) == untouched
    assert "a canary of it may still run" in market.runbook("deploy", "--status")[1]
    code, output = market.runbook("deploy", "--abort", "--set", "deploy.restart=3")
    assert code == 6, output
    (market.folder / "stuck").unlink()
    code, output = market.runbook("deploy", "--abort")
    assert code == 0, output
    assert no_canary(market)


def test_setting_asks_for_it_and_an_option_leaves_it_out(market: Shop) -> None:
    asked = ("deploy", NEW, "--dry-run", "--set", "deploy.canary_first=true")
    code, output = market.runbook(*asked)
    assert code == 0, output
    assert output.splitlines() == [
        "web: 1.4.2 -> 1.4.3",
        "ml: 1.4.2 -> 1.4.3",
        f"canary of web: web-canary, by beside; web at http://127.0.0.1:{market.ports['web-canary']}",
        f"canary of ml: ml-canary, by beside; ml at http://127.0.0.1:{market.ports['ml-canary']}",
        "phases: gate, baseline, canary, canary-stop, switch, healthy, verify",
    ]
    code, output = market.runbook(*asked, "--no-canary")
    assert output.splitlines()[-1] == "phases: gate, baseline, switch, healthy, verify"


def test_what_a_canary_fails_in_breaks_no_fix_that_is_watched(market: Shop) -> None:
    check = "web/availability::page_opens"
    market.store.watch(check, "web-unavailable", datetime.now(UTC) + timedelta(days=1))
    assert market.runbook("deploy", "2.0-failing", "--canary")[0] == 5
    watched = market.store.watched(check)
    assert watched and watched.recurred is None
    assert market.runbook("deploy", "2.0-failing")[0] == 1
    watched = market.store.watched(check)
    assert watched and watched.recurred, "where users met it, it is one"


def test_rollback_has_no_canary(market: Shop) -> None:
    _, output = market.runbook("rollback", "--to", "1.4.1", "--dry-run", "--set", "deploy.canary_first=true")
    assert output.splitlines()[-1] == "phases: switch, healthy, verify"


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (("--services", "stock"), 'the service "stock" has no canary (those that have one: ml, web)'),
        (("--services", "stock"), "write [deploy.canary.stock] with manager, unit and probes"),
        (
            ("--set", "deploy.canary.web.unit=web"),
            'the canary of web is the service "web" itself: "web" has its processes',
        ),
        (("--services", "web", "--set", "deploy.canary.web.unit=ml"), 'the canary of web is the service "ml" itself'),
        (("--set", "deploy.canary.web.unit=web-kanary"), 'unknown unit "web-kanary" of the manager "beside"'),
        (("--set", "managers.beside.env_file=null"), 'nothing says which version of "web-canary"'),
        (("--set", "managers.beside.version_variable=CANARY"), 'does not say "CANARY"'),
    ],
)
def test_service_without_a_canary_of_its_own_is_refused(
    market: Shop, untouched: tuple[dict[str, str], str], told: tuple[str, ...], said: str
) -> None:
    code, output = market.runbook("deploy", NEW, "--canary", *told)
    assert (code, said in output) == (4, True), output
    assert market.store.deployments() == []
    assert now(market) == untouched


def test_canary_where_users_are_is_refused(market: Shop) -> None:
    url = f"http://127.0.0.1:{market.ports['web']}"
    code, output = market.runbook("deploy", NEW, "--canary", "--set", f"deploy.canary.web.probes.web={url}")
    assert code == 4, output
    assert f'the canary of "web" is where users are, at "{url}"' in output


def test_canary_whose_version_is_that_of_the_service_is_refused(market: Shop) -> None:
    same = str(market.folder / "env")
    code, output = market.runbook("deploy", NEW, "--canary", "--set", f"managers.beside.env_file={same}")
    assert code == 4, output
    assert f'the canary of web and the service "web" have one version, VERSION in "{same}"' in output
    assert market.store.deployments() == []
    assert GOOD in (market.folder / "env").read_text()

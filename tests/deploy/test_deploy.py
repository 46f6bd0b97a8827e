"""A deployment ends on the new version, verified, or on the one before, verified; else it is held, and says why."""

from __future__ import annotations

import json
import os
import time

import pytest
from pytest_runbook.history import Held

from tests.deploy.shop import GOOD, SECRET, Shop, keyboard

BAD = {
    "2.0-slow": ("verify", "page.time is"),
    "2.0-failing": ("verify", "/ answered 500"),
    "2.0-no-start": ("switch", "did not start"),
    "2.0-mute": ("healthy", "/health answered 503"),
}
"""Version to the phase in which it is found out, and what is seen."""


def test_good_version_is_deployed_and_on_record(market: Shop) -> None:
    code, output = market.runbook("deploy", "1.4.3")
    assert code == 0, output
    assert market.served() == {"1.4.3"}
    assert "web: 1.4.2 -> 1.4.3" in output
    row = market.row
    assert (row.kind, row.version, row.outcome) == ("deploy", "1.4.3", "deployed")
    assert row.before == {"web": GOOD, "ml": GOOD}
    assert row.who
    done = ["gate", "baseline", "switch", "healthy", "verify"]
    assert market.phases == [(phase, "done") for phase in done]
    assert all(phase.duration is not None for phase in row.phases)


@pytest.mark.parametrize("version", BAD)
def test_bad_version_ends_on_the_one_before_verified(market: Shop, version: str) -> None:
    code, output = market.runbook("deploy", version)
    assert code == 1, output
    assert market.served() == {GOOD}
    phase, seen = BAD[version]
    row = market.row
    assert row.outcome == "rolled-back"
    assert (phase, "failed") in market.phases
    assert market.phases[-3:] == [("switch-back", "done"), ("healthy-back", "done"), ("verify-back", "done")]
    assert f"{phase} failed" in (row.why or "")
    assert seen in (row.why or "")


def test_a_single_look_may_decide(market: Shop) -> None:
    told = [word for key in ("passes", "of") for word in ("--set", f"deploy.confirm.{key}=1")]
    code, output = market.runbook("deploy", "2.0-failing", *told)
    assert code == 1, output
    assert ("verify", "failed") in market.phases
    assert market.served() == {GOOD}


def test_version_that_fails_after_a_while_is_found_out_by_soaking(market: Shop) -> None:
    process = market.begin("deploy", "2.0-failing-late", "--soak", "60")
    while not (rows := market.store.deployments(1)) or "soak" not in [phase.phase for phase in rows[0].phases]:
        assert process.poll() is None
        time.sleep(0.1)
    (market.folder / "late").touch()
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 1, output
    assert ("soak", "failed") in market.phases
    assert market.served() == {GOOD}


def test_what_the_bad_version_left_in_the_log_does_not_count_against_the_good_one(market: Shop) -> None:
    code, output = market.runbook("deploy", "2.0-failing")
    assert code == 1, output
    assert (market.folder / "errors").exists()


def test_closed_gate_changes_nothing(market: Shop) -> None:
    (market.folder / "closed").write_text("1.4.3")
    code, output = market.runbook("deploy", "1.4.3")
    assert code == 5, output
    assert "the gate is closed" in output
    assert (market.row.outcome, market.phases) == ("refused", [("gate", "failed")])
    assert market.served() == {GOOD}


def test_backup_is_made_of_the_version_before_and_verified(market: Shop) -> None:
    code, output = market.runbook("deploy", "1.4.3", "--set", "deploy.backup=true")
    assert code == 0, output
    assert market.phases[:3] == [("gate", "done"), ("backup", "done"), ("baseline", "done")]
    made = market.folder / "backups" / (market.row.backup or "none")
    assert json.loads((made / "manifest.json").read_text())["release"] == GOOD
    assert (made / "verified.json").is_file()


def test_no_change_without_the_backup_that_belongs_to_it(market: Shop) -> None:
    told = ("--set", "deploy.backup=true", "--set", f"backup.destinations.local.path={market.folder}/env")
    code, output = market.runbook("deploy", "1.4.3", *told)
    assert code == 5, output
    assert market.phases == [("gate", "done"), ("backup", "failed")]
    assert market.served() == {GOOD}


def test_version_that_nobody_can_judge_is_held(market: Shop) -> None:
    code, output = market.runbook("deploy", "2.0-blind")
    assert code == 6, output
    assert "the service tells no figures (could not look)" in output
    assert market.served() == {"2.0-blind"}
    code, output = market.runbook("deploy", "--status")
    assert code == 6, output
    assert "it waits for a decision" in output
    code, output = market.runbook("deploy", "1.4.3")
    assert code == 4, output
    assert "is not at its end" in output
    code, output = market.runbook("deploy", "--abort")
    assert code == 0, output
    assert market.row.outcome == "rolled-back"
    assert market.served() == {GOOD}


def test_who_sits_there_is_asked_and_decides(market: Shop) -> None:
    with keyboard() as (keys, terminal):
        process = market.begin("deploy", "2.0-blind", stdin=terminal)
        os.write(keys, b"look\nback\n")
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert output.count("look again, go back, or leave it?") == 2
    assert market.phases.count(("verify", "inconclusive")) == 2
    assert market.row.outcome == "rolled-back"
    assert market.served() == {GOOD}


def test_what_failed_before_as_well_is_held_when_it_still_fails(market: Shop) -> None:
    (market.folder / "errors").write_text("of yesterday")
    code, output = market.runbook("deploy", "1.4.3", "--set", "deploy.since=[]")
    assert code == 6, output
    assert "it failed before the change as well" in output
    (market.folder / "errors").unlink()
    code, output = market.runbook("deploy", "--resume")
    assert code == 0, output
    assert market.row.outcome == "deployed"


@pytest.mark.parametrize("service", ["web", "ml"])
def test_only_the_named_services_are_switched(market: Shop, service: str) -> None:
    code, output = market.runbook("deploy", "1.4.3", "--services", service)
    assert code == 0, output
    versions = {"web": GOOD, "ml": GOOD, service: "1.4.3"}
    assert (market.serves("web"), market.serves("ml")) == (versions["web"], versions["ml"])


def test_rollback_goes_to_the_version_before_and_verifies_it(market: Shop) -> None:
    assert market.runbook("deploy", "1.4.3")[0] == 0
    code, output = market.runbook("rollback")
    assert code == 0, output
    assert market.served() == {GOOD}
    assert (market.row.kind, market.row.outcome) == ("rollback", "rolled-back")
    assert market.phases == [("switch", "done"), ("healthy", "done"), ("verify", "done")]
    assert market.row.baseline and "page.time" in market.row.baseline["figures"]
    code, output = market.runbook("rollback")
    assert code == 4, output
    assert 'and "1.4.3" was taken back' in output


def test_rollback_to_a_bad_version_is_held_and_does_not_go_forth(market: Shop) -> None:
    code, output = market.runbook("rollback", "--to", "1.4.1-failing")
    assert code == 6, output
    assert "verify failed" in (market.row.held or "")
    assert market.served() == {"1.4.1-failing"}


def test_rollback_without_a_version_before_says_so(market: Shop) -> None:
    code, output = market.runbook("rollback")
    assert code == 4, output
    assert f'no version before "{GOOD}" of "web" is known to be good' in output


def test_without_a_deployment_on_record_the_file_of_variables_tells_the_version_before(market: Shop) -> None:
    with (market.folder / "env").open("a") as file:
        file.write("PREVIOUS_VERSION=1.4.1\n")
    code, output = market.runbook("rollback", "--dry-run")
    assert code == 0, output
    assert output.splitlines()[0] == "web: 1.4.2 -> 1.4.1"


def test_plan_is_shown_and_nothing_done(market: Shop) -> None:
    code, output = market.runbook("deploy", "1.4.3", "--dry-run")
    assert code == 0, output
    assert output.splitlines() == [
        "web: 1.4.2 -> 1.4.3",
        "ml: 1.4.2 -> 1.4.3",
        "phases: gate, baseline, switch, healthy, verify",
    ]
    assert market.store.deployments() == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("deploy", GOOD), "nothing to do: web runs 1.4.2, ml runs 1.4.2"),
        (("deploy", "1.4 3"), '"1.4 3" cannot be a version'),
        (("deploy", "latest"), '"latest" is no version: it moves'),
        (("deploy", ""), "one of --status, --resume, --abort, --forth, --history, VERSION is expected"),
        (("rollback", "--to", ""), '"" cannot be a version'),
        (("deploy", "1.4.3", "--set", "managers.shop.env_file=null"), 'nothing says which version of "web"'),
        (("deploy", "1.4.3", "--services", "shelf"), 'unknown service "shelf"'),
        (("deploy",), "one of --status, --resume, --abort, --forth, --history, VERSION is expected"),
        (("deploy", "--resume"), "no deployment is unfinished"),
        (("deploy", "--abort", "--dry-run"), "no deployment is unfinished"),
        (("deploy", "--abort", "--services", "ml"), "--services is only for a new deployment"),
        (("deploy", "--resume", "--no-backup"), "--no-backup is only for a new deployment"),
        (
            ("deploy", "1.4.3", "--no-backup", "--set", "deploy.backup=true"),
            'no deployment in "production" without a backup',
        ),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_changed(
    market: Shop, arguments: tuple[str, ...], said: str
) -> None:
    code, output = market.runbook(*arguments)
    assert (code, said in output) == (4, True), output
    assert market.store.deployments() == []


def test_service_that_does_not_run_has_no_way_back(market: Shop) -> None:
    market.control("stop", "ml")
    code, output = market.runbook("deploy", "1.4.3")
    assert code == 4, output
    assert 'which version "ml" runs cannot be seen, so there would be no way back' in output


def test_reason_for_no_backup_is_on_record(market: Shop) -> None:
    told = ("deploy", "1.4.3", "--no-backup", "--reason", "OPS-7: read only today", "--set", "deploy.backup=true")
    code, output = market.runbook(*told)
    assert code == 0, output
    _, output = market.runbook("deploy", "--history")
    assert "without a backup: OPS-7: read only today" in output


def test_no_secret_is_told_or_kept(market: Shop) -> None:
    (market.folder / "errors").write_text("new")
    code, output = market.runbook("deploy", "1.4.3", "--set", "deploy.since=[]")
    assert code == 6, output
    assert "****" in output
    assert SECRET not in output
    assert SECRET.encode() not in (market.folder / "var" / "history.db").read_bytes()


def test_history_tells_deployments_as_json(market: Shop) -> None:
    assert market.told("deploy", "--history") == []
    assert market.runbook("deploy", "1.4.3")[0] == 0
    (row,) = market.told("deploy", "--history")
    assert (row["version"], row["outcome"], row["phases"][0]["phase"]) == ("1.4.3", "deployed", "gate")
    assert market.told("deploy", "--status")["outcome"] == "deployed"


def test_two_at_once_are_one(market: Shop) -> None:
    first = market.begin("deploy", "1.4.3", "--soak", "4")
    while not market.store.deployments():
        assert first.poll() is None
    with pytest.raises(Held, match="web"):
        market.store.lock("web", "a runbook")
    code, output = market.runbook("deploy", "1.4.4")
    assert code == 4, output
    assert '"the deployment" is locked by the run' in output
    code, output = market.runbook("deploy", "--status")
    assert (code, "it is going on: process" in output) == (6, True)
    first.communicate(timeout=60)
    assert first.returncode == 0
    assert market.served() == {"1.4.3"}

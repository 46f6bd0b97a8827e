"""The command `runbook`: list, show, run by hand, and what the history tells."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pytest_runbook.errors import UsageError
from pytest_runbook.runbooks import loading

from tests.engine.ailing import FIX, Ailing
from tests.engine.conftest import Project
from tests.probes.strangers import closed


@pytest.fixture
def ailing(project: Project) -> Ailing:
    return Ailing(project)


def runbook(ailing: Ailing, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`runbook ARGUMENTS` in the project."""
    return subprocess.run(
        [sys.executable, "-c", "from pytest_runbook.cli import main; main()", *arguments],
        cwd=ailing.project.folder,
        env=ailing.project.environment(),
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def test_runbooks_are_listed_with_what_they_risk(ailing: Ailing) -> None:
    ailing.runbook("disk-full", "")
    told = runbook(ailing, "list")
    assert told.returncode == 0, told.stderr
    assert told.stdout.splitlines() == [
        "database-down  database-down.  [routine]",
        "disk-full      disk-full.  [by a person]",
        "web-down       web-down.  [routine]",
    ]
    rows = json.loads(runbook(ailing, "list", "--json").stdout)
    assert rows[2] == {"id": "web-down", "title": "web-down.", "steps": [{"name": "mend", "risk": "routine"}]}


def test_where_there_are_no_runbooks_the_list_says_so(ailing: Ailing) -> None:
    shutil.rmtree(ailing.project.folder / "remediation")
    told = runbook(ailing, "list")
    assert (told.returncode, told.stdout) == (4, "")
    assert f'there is no folder "{ailing.project.folder / "remediation"}"' in told.stderr


def test_runbooks_that_may_not_be_read_are_not_taken_for_none(tmp_path: Path) -> None:
    """As a folder `remediation` that belongs to root."""
    with closed(tmp_path / "remediation") as folder:
        (told,) = loading.faults(folder)
        with pytest.raises(UsageError, match="cannot be read: permission denied"):
            loading.texts(folder)
    assert f'"{tmp_path / "remediation"}" cannot be read: permission denied' in told


def test_a_runbook_is_shown_as_a_person_reads_it_with_its_steps(ailing: Ailing) -> None:
    told = runbook(ailing, "show", "web-down")
    assert told.returncode == 0
    assert "Symptom" in told.stdout
    assert "1. mend (correct, routine): Write that it is up" in told.stdout
    unknown = runbook(ailing, "show", "web-dwon")
    assert unknown.returncode == 4
    assert 'unknown runbook "web-dwon" (known: database-down, web-down)' in unknown.stderr


def test_a_step_by_hand_that_only_looks_shows_all_that_it_saw_also_when_a_check_fails(ailing: Ailing) -> None:
    ailing.set("web", "down")
    ailing.runbook("web-down", "@diagnose\ndef look(at):\n    '''Look.'''\n    return command('seq', '30')\n" + FIX)
    told = runbook(ailing, "run", "web-down", "--step", "1")
    assert told.returncode == 1
    assert "\n".join(f"      {number}" for number in range(1, 31)) in told.stdout
    assert "refused: the step that was named only looks" in told.stdout
    assert "PytestAssertRewriteWarning" not in told.stdout + told.stderr
    assert not ailing.log


def test_what_has_to_be_typed_before_the_commands_of_a_runbook_is_shown(ailing: Ailing) -> None:
    assert "Before the commands" not in runbook(ailing, "show", "web-down").stdout
    ailing.project.settings(
        '[managers.one]\nkind = "compose"\nfile = "/opt/the shop/shop.yml"\nproject = "shop"\non = "host"\n'
        '[managers.unused]\nkind = "compose"\nfile = "/opt/other.yml"\nproject = "other"\n'
        '[probes.host]\nkind = "host"\nuri = "local://"\n[services.shop]\nmanager = "one"\n'
    )
    told = runbook(ailing, "show", "web-down")
    assert (
        "Before the commands above\n"
        "    cd '/opt/the shop' && export COMPOSE_FILE=shop.yml COMPOSE_PROJECT_NAME=shop"
        "    (on the machine of probes.host)\n\nSteps\n"
    ) in told.stdout, told.stderr
    ailing.project.settings(
        '[managers.one]\nkind = "compose"\nfile = "/opt/shop.yml"\nproject = "shop"\n[services.shop]\nmanager = "one"\n'
        '[probes.host]\nkind = "host"\nuri = "ssh://shop"\n'
    )
    told = runbook(ailing, "show", "web-down")
    assert "(on the machine of the services: managers.NAME.on does not say which)\n" in told.stdout, told.stderr
    ailing.project.settings("[unknown]\n")
    told = runbook(ailing, "show", "web-down")
    assert (told.returncode, "Symptom" in told.stdout) == (0, True), "a person can read it whatever the settings are"
    assert "Where the services run is not known: " in told.stderr
    assert "shop.toml: unknown: unknown key" in told.stderr


def test_a_runbook_run_by_hand_mends_its_own_checks_and_no_others(ailing: Ailing) -> None:
    ailing.set("web", "down")
    ailing.set("host", "down")
    ailing.check("host/capacity.py", "has_room", "host", "database-down")
    done = runbook(ailing, "run", "web-down", "--remediate=apply")
    assert done.returncode == 0, done.stdout
    assert ailing.log == ["web-down writes up to web"]
    assert runbook(ailing, "run", "web-down", "--remediate=apply").returncode == 0
    assert ailing.log == ["web-down writes up to web"], "nothing fails, so nothing is done"
    told = runbook(ailing, "history")
    assert "web-down on web: remediated" in told.stdout
    assert "do mend (routine): done" in told.stdout
    (row,) = json.loads(runbook(ailing, "history", "--json").stdout)
    assert (row["outcome"], row["checks"]) == ("remediated", ["web/availability::answers"])


def test_by_hand_too_nothing_is_done_above_what_is_down(ailing: Ailing) -> None:
    ailing.set("web", "down")
    ailing.set("database", "down")
    done = runbook(ailing, "run", "web-down", "--remediate=apply")
    assert done.returncode == 1
    assert (
        "nothing to mend by web-down: web/availability::answers is blocked by database/availability::answers"
        in done.stdout
    )
    assert not ailing.log


def test_by_hand_the_guards_hold_as_in_any_run(ailing: Ailing) -> None:
    ailing.set("web", "down")
    ailing.runbook("web-down", FIX.replace('"routine"', '"destructive"'))
    done = runbook(ailing, "run", "web-down", "--remediate=apply", "--max-risk=isolate")
    assert done.returncode == 1
    assert "in production only a person says yes to that, with --remediate=ask" in done.stdout
    assert not ailing.log
    asked = runbook(ailing, "run", "web-down")
    assert asked.returncode == 1
    assert not ailing.log


def test_one_step_is_run_by_its_name_or_number_and_one_that_looks_also_when_all_is_well(ailing: Ailing) -> None:
    ailing.runbook(
        "web-down",
        "@diagnose\ndef look(at):\n    '''Show the state.'''\n    return command('cat', f'state/{at.service}')\n" + FIX,
    )
    done = runbook(ailing, "run", "web-down", "--step", "1")
    assert done.returncode == 0, done.stdout
    assert "Show the state: done" in done.stdout
    assert "    up" in done.stdout
    ailing.set("web", "down")
    assert runbook(ailing, "run", "web-down", "--step=look", "--remediate=apply").returncode == 1
    assert runbook(ailing, "run", "web-down", "--step=mend", "--remediate=apply").returncode == 0
    unknown = runbook(ailing, "run", "web-down", "--step=3")
    assert unknown.returncode == 4
    assert 'unknown step of the runbook "web-down" "3" (known: 1 look, 2 mend)' in unknown.stdout + unknown.stderr


def test_an_empty_history_says_so(ailing: Ailing) -> None:
    told = runbook(ailing, "history")
    assert (told.returncode, told.stdout) == (
        0,
        'nothing was tried yet on Shop (production): there is no history yet ("var/history.db")\n',
    )
    assert not (ailing.project.folder / "var").exists()


def test_a_history_without_what_was_asked_for_says_so_and_an_unknown_name_is_refused(ailing: Ailing) -> None:
    ailing.set("web", "down")
    assert runbook(ailing, "run", "web-down", "--remediate=apply").returncode == 0
    assert "web-down on web: remediated" in runbook(ailing, "history", "--service=web", "--runbook=web-down").stdout
    told = runbook(ailing, "history", "--service=database", "--runbook=web-down")
    assert told.returncode == 0
    assert told.stdout == (
        'nothing was tried yet with the runbook "web-down" on the service "database" of Shop (production)\n'
    )
    for option, wrong in (("--service", "nosuch"), ("--runbook", "web-donw")):
        told = runbook(ailing, "history", f"{option}={wrong}", "--json")
        assert (told.returncode, told.stdout) == (4, "")
        assert f'unknown {option[2:]} "{wrong}" (known: ' in told.stderr

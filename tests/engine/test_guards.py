"""What keeps a runbook from acting; every refusal says why."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pytest_runbook.backup.restore import journal
from pytest_runbook.backup.restore.journal import Journal
from pytest_runbook.history.store import Store

from tests.engine.ailing import FIX, Ailing
from tests.engine.conftest import Finished, Project

WEB, DATABASE = "web/availability::answers", "database/availability::answers"
USELESS = "@correct(within=0)\ndef nothing(at):\n    '''Do nothing.'''\n    return call(note_it)\n"
NOTE_IT = "def note_it(tools):\n    '''Note it.'''\n    note('tried')\n"


@pytest.fixture
def ailing(project: Project) -> Ailing:
    found = Ailing(project)
    found.set("web", "down")
    return found


def refused(done: Finished, why: str, check: str = WEB) -> None:
    """Nothing was done for CHECK, and the record says WHY."""
    assert done.code == 1, done.output
    assert done.results[check].outcome in ("failed", "unmeasured")
    assert why in done.results[check].remediation
    assert done.results[check].remediation.startswith("refused: ")
    assert not any(step.started for step in done.results[check].steps)


def risky(ailing: Ailing, risk: str) -> None:
    ailing.runbook("web-down", FIX.replace('"routine"', f'"{risk}"'))


@pytest.mark.parametrize("risk", ["restart", "destructive", "isolate"])
def test_a_step_above_the_risk_asked_for_does_not_run(ailing: Ailing, risk: str) -> None:
    risky(ailing, risk)
    done = ailing.apply()
    refused(done, f'"Write that it is up": its risk is {risk}')
    assert [step.outcome for step in done.results[WEB].steps] == ["refused"]
    assert not ailing.log


def test_a_step_above_the_ceiling_of_the_environment_does_not_run_whatever_is_asked_for(ailing: Ailing) -> None:
    risky(ailing, "isolate")
    why = "its risk is isolate, and remediation.ceilings.production is destructive"
    refused(ailing.apply("--max-risk=isolate"), why)
    done = ailing.apply("--max-risk=isolate", "--set", "system.environment=development")
    assert done.outcomes[WEB] == "remediated", done.output


def test_nothing_destructive_runs_unasked_in_production_and_a_plan_says_so(ailing: Ailing) -> None:
    risky(ailing, "destructive")
    why = "in production only a person says yes to that, with --remediate=ask"
    for ceiling in ((), ("--set", "remediation.ceilings.production=isolate")):
        refused(ailing.apply("--max-risk=isolate", *ceiling), why)
    planned = ailing.project.run("-m", "daily", "--remediate=plan", "--max-risk=isolate")
    assert f"its risk is destructive: {why}" in planned.output
    assert not ailing.log


def test_a_file_stops_everything(ailing: Ailing) -> None:
    stop = ailing.project.write("var/remediation.stop", "")
    refused(ailing.apply(), f'"{stop}" exists')
    stop.unlink()
    assert ailing.apply().outcomes[WEB] == "remediated"


def test_the_switch_that_is_pulled_between_two_steps_stops_the_second(ailing: Ailing) -> None:
    ailing.runbook(
        "web-down",
        "@correct(within=0)\ndef pull(at):\n    '''Pull the switch.'''\n"
        "    return command('sh', '-c', 'mkdir -p var && touch var/remediation.stop')\n" + FIX,
    )
    done = ailing.apply()
    assert done.outcomes[WEB] == "still-failing"
    assert [step.outcome for step in done.results[WEB].steps] == ["done", "refused"]
    assert not ailing.log


def test_a_setting_stops_everything(ailing: Ailing) -> None:
    refused(ailing.apply("--set", "remediation.enabled=false"), "remediation.enabled is false")


def test_nothing_is_done_for_what_could_not_be_seen(ailing: Ailing) -> None:
    ailing.set("web", "up")
    ailing.project.checks(
        "web/errors.py",
        """
        from pathlib import Path

        @check("daily", severity="P1", runbook="web-down")
        def test_looks():
            if Path("state").is_dir():
                raise Unmeasured("the glasses are broken")
            assert False
        """,
    )
    refused(ailing.apply(), "nothing was seen to be broken", "web/errors::looks")
    assert not ailing.log


def test_nothing_is_done_where_it_could_not_be_read_which_system_it_is(ailing: Ailing) -> None:
    told = ailing.project.write(".env", "DATABASE_HOST=db.example.org\nthis line is cut")
    refused(ailing.apply(), f"where the system is could not be read: {told}:2: broken line: NAME=value is expected")
    assert not ailing.log
    told.unlink()
    assert ailing.apply().outcomes[WEB] == "remediated"


LOOK = "@diagnose\ndef look(at):\n    '''Look.'''\n    return command('sh', '-c', 'seq 30; printf \"\\\\033[2Jend\"')\n"


def history(ailing: Ailing) -> Store:
    return Store.open("sqlite:///var/history.db", "Shop", "production", root=ailing.project.folder)


def test_nothing_but_looking_is_done_while_a_deployment_is_not_at_its_end(ailing: Ailing) -> None:
    store = history(ailing)
    left = store.begin_deployment("killed", "deploy", "2.0", {"database": "1.9"}, who="me", options={})
    ailing.runbook("web-down", LOOK + FIX)
    why = "the deployment 1, of 2.0, is not at its end\n  hint: runbook deploy --status tells, --resume or --abort"
    done = ailing.apply()
    assert [(step.name, step.outcome) for step in done.results[WEB].steps] == [("look", "done"), ("mend", "refused")]
    assert f'refused: "Write that it is up": {why}' in done.results[WEB].remediation
    assert why in ailing.project.run("-m", "daily", "--remediate=plan").results[WEB].steps[1].why
    assert not ailing.log
    assert store.end_deployment(left, "aborted", "a person said so", run="killed")
    assert ailing.apply().outcomes[WEB] == "remediated", "what was refused does not count as a try"


def test_a_deployment_that_begins_meanwhile_stops_the_step(ailing: Ailing) -> None:
    ailing.runbook(
        "web-down",
        "def deploy(tools):\n    from pytest_runbook.history.store import Store\n"
        "    store = Store.open('sqlite:///var/history.db', 'Shop', 'production', root=tools.root)\n"
        "    return store.begin_deployment('other', 'deploy', '2.0', {'database': '1.9'}, who='me', options={})\n"
        + FIX.replace("within=0", "within=0, only_if=lambda at: call(deploy)"),
    )
    refused(ailing.apply(), "the deployment 1, of 2.0, is not at its end")
    assert not ailing.log


def test_nothing_is_done_while_a_restore_is_not_at_its_end_or_nobody_can_tell(ailing: Ailing) -> None:
    folder = ailing.project.folder / "var" / "restores"
    journals = Journal(folder)
    restore = journals.begin("20261126T020000Z-abcd", "20261126T010000Z", "local", ["database"])
    for restore.state in (journal.EXCHANGING, journal.HELD):
        journals.save(restore)
        refused(ailing.apply(), f'the restore "{restore.id}" is not at its end: it is {restore.state}\n  hint: ')
    shutil.rmtree(folder)
    folder.write_text("no folder")
    refused(ailing.apply(), f'"{folder}" cannot be read: not a directory')
    folder.unlink()
    assert ailing.apply().outcomes[WEB] == "remediated"


def test_nothing_is_done_while_a_journal_says_nothing_of_its_restore(ailing: Ailing) -> None:
    folder = ailing.project.folder / "var" / "restores"
    damaged = ailing.project.write("var/restores/20261126T020000Z-abcd/restore.json", "{")
    done = ailing.apply()
    refused(done, f'"{damaged}" cannot be read: Expecting property name')
    note = folder / "20261126T020000Z-abcd.ended"
    assert f'when nothing of it is left to do: touch "{note}"' in done.results[WEB].remediation
    assert not ailing.log
    note.touch()
    assert ailing.apply().outcomes[WEB] == "remediated"


def test_a_waived_check_and_a_maintenance_window_are_left_alone(ailing: Ailing) -> None:
    start, end = (datetime.now(UTC) + timedelta(hours=hours) for hours in (-1, 1))
    waiver = f'[[waivers]]\ncheck = "web/*"\nowner = "a"\nreason = "b"\nexpires = {end.isoformat()}\n'
    window = (
        f'[[maintenance]]\nservices = ["web"]\nowner = "a"\nreason = "b"\nstart = {start.isoformat()}\n'
        f"end = {end.isoformat()}\n"
    )
    for accepted in (waiver, window):
        ailing.project.settings(accepted)
        done = ailing.apply()
        assert done.outcomes[WEB] == "waived", done.output
        assert not ailing.log


def test_a_check_without_a_runbook_and_a_runbook_without_steps_are_for_people(ailing: Ailing) -> None:
    ailing.runbook("web-down", "")
    refused(ailing.apply(), "the runbook is for a person, it has no steps")


def test_what_does_not_help_is_tried_again_only_after_a_while_and_not_for_ever(ailing: Ailing) -> None:
    ailing.runbook("web-down", NOTE_IT + USELESS)
    ailing.settings(cooldown=3600)
    assert ailing.apply().outcomes[WEB] == "still-failing"
    refused(ailing.apply(), "it was tried 1 time within 24 h 0 min and did not help: the next try is due ")
    ailing.settings(attempts=2)
    assert ailing.apply().outcomes[WEB] == "still-failing"
    refused(ailing.apply(), "it was tried 2 times within 24 h 0 min and did not help")
    assert ailing.log == ["tried", "tried"]


def test_a_verified_fix_resets_the_count(ailing: Ailing) -> None:
    ailing.settings(attempts=2)
    for _ in range(3):
        ailing.set("web", "down")
        assert ailing.apply().outcomes[WEB] == "remediated"


def test_what_is_fixed_again_and_again_is_for_a_person(ailing: Ailing) -> None:
    ailing.settings(fixes=2)
    for _ in range(2):
        ailing.set("web", "down")
        assert ailing.apply().outcomes[WEB] == "remediated"
    ailing.set("web", "down")
    refused(ailing.apply(), "it fixed this 2 times within 24 h 0 min: a person has to find the cause")


def test_the_breaker_of_the_whole_system_opens(ailing: Ailing) -> None:
    ailing.runbook("web-down", NOTE_IT + USELESS)
    ailing.settings(breaker=1)
    assert ailing.apply().outcomes[WEB] == "still-failing"
    ailing.set("web", "up")
    ailing.set("database", "down")
    refused(ailing.apply(), "the breaker is open: 1 tries within an hour did not help", DATABASE)


def test_who_is_cut_off_does_not_act(project: Project) -> None:
    ailing = Ailing(project)
    services = ("web", "mail", "search")
    tables = "".join(
        f'[services.{name}_site]\n[probes.{name}]\nkind="http"\nurl="http://127.0.0.1:9"\n' for name in services
    )
    project.settings(tables)
    for name in services:
        project.checks(
            f"{name}_site/availability.py",
            f"""
            @check("daily", severity="P1", runbook="web-down")
            async def test_answers({name}):
                assert (await {name}.get("/")).status_code == 200
            """,
        )
    done = ailing.apply()
    assert done.code == 1
    for name in services:
        refused(
            done,
            "the checker seems to be cut off: it reaches none of mail_site, search_site, web_site",
            f"{name}_site/availability::answers",
        )
    assert not ailing.log


def test_of_two_runs_at_once_one_acts(ailing: Ailing) -> None:
    ailing.runbook("web-down", "@correct(within=0, settle=2)\n" + FIX.split("\n", 2)[2])
    finished: dict[str, Finished] = {}

    def run(name: str) -> None:
        done = subprocess.run(
            [*ailing.project.command("-m", "daily", "--remediate=apply"), f"--report={ailing.project.folder / name}"],
            cwd=ailing.project.folder,
            env=ailing.project.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        finished[name] = Finished(done.returncode, done.stdout, ailing.project.folder / name)

    threads = [threading.Thread(target=run, args=[name]) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ailing.log == ["web-down writes up to web"]
    assert sorted(done.outcomes[WEB] for done in finished.values()) in (
        ["failed", "remediated"],
        ["passed", "remediated"],
    )


def test_a_lock_of_somebody_else_is_respected_and_named(ailing: Ailing) -> None:
    store = history(ailing)
    store.begin_run("another")
    with store.lock("web", "another"):
        refused(ailing.apply(), 'is locked by the run "another"')
    assert ailing.apply().outcomes[WEB] == "remediated"


def test_without_a_history_nothing_acts(ailing: Ailing) -> None:
    ailing.project.write("var", "a file where the folder should be")
    done = ailing.apply()
    assert done.code == 1
    assert done.outcomes[WEB] == "failed"
    assert any(problem.startswith("nothing was mended, for without a history") for problem in done.record.problems)
    assert not ailing.log


@pytest.mark.parametrize(("answer", "outcome"), [("y", "remediated"), ("n", "failed"), ("", "failed")])
def test_a_person_at_the_terminal_is_asked_before_each_step(ailing: Ailing, answer: str, outcome: str) -> None:
    code, screen = at_a_terminal(ailing, answer)
    assert "Write that it is up (routine) on web:" in screen
    assert "write(service='web', text='up')" in screen
    done = Finished(code, screen, ailing.project.folder / "report")
    assert done.outcomes[WEB] == outcome, screen
    assert bool(ailing.log) == (outcome == "remediated")


def test_who_is_asked_sees_what_was_seen_and_what_each_step_does(ailing: Ailing) -> None:
    ailing.runbook("web-down", LOOK + USELESS + NOTE_IT + FIX)
    code, screen = at_a_terminal(ailing, "n,y")
    assert code == 0, screen
    seen, first, second = screen.split("run it? [y/N]")
    assert "      … 11 lines before these are in the report\r\n      12\r\n" in seen
    assert "      30\r\n      \N{REPLACEMENT CHARACTER}[2Jend\r\n" in seen, "a log moves no cursor"
    assert "note_it(): Note it" in seen
    assert "Write that it is up (routine) on web:" in first
    assert "write(service='web', text='up')" in first
    assert "verified: 1 check" in second


def test_a_destructive_step_runs_in_production_when_a_person_says_yes(ailing: Ailing) -> None:
    risky(ailing, "destructive")
    _, screen = at_a_terminal(ailing, "y", "--max-risk=destructive")
    assert Finished(0, screen, ailing.project.folder / "report").outcomes[WEB] == "remediated", screen


def test_where_nobody_can_be_asked_the_answer_is_no(ailing: Ailing) -> None:
    done = ailing.project.run("-m", "daily", "--remediate=ask")
    refused(done, "nobody could be asked, for this is no terminal")


def at_a_terminal(ailing: Ailing, answer: str, *arguments: str) -> tuple[int, str]:
    """Exit code and screen of a run in which a person types ANSWER when asked; several with commas between."""
    ours, theirs = pty.openpty()
    command = ailing.project.command("-m", "daily", "--remediate=ask", *arguments)
    environment = ailing.project.environment({"TERM": "xterm"})
    with subprocess.Popen(
        command, cwd=ailing.project.folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        seen, given, end = "", 0, time.monotonic() + 90
        answers = answer.split(",")
        while time.monotonic() < end and select.select([ours], [], [], 30)[0]:
            try:
                data = os.read(ours, 4096)
            except OSError:
                break
            seen += data.decode(errors="replace")
            if seen.count("run it? [y/N]") > given:
                os.write(ours, f"{answers[given]}\n".encode())
                given += 1
        code = process.wait(30)
    os.close(ours)
    assert given == len(answers), seen
    return code, seen


def test_options_that_cannot_be_are_refused(ailing: Ailing, tmp_path: Path) -> None:
    assert "invalid choice: 'maybe'" in ailing.project.run("--remediate=maybe").output
    assert "'huge' (choose from 'observe', 'routine', 'restart'," in ailing.project.run("--max-risk=huge").output
    assert "'P7' (choose from 'P1', 'P2', 'P3')" in ailing.project.run("--gate=P7").output
    ailing.project.write("pytest.ini", "[pytest]\npython_files = *.py\n")
    done = ailing.project.run("--remediate=apply")
    assert done.code == 4
    assert "needs settings" in done.output

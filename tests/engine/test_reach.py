"""What a step reaches beyond the service whose checks failed: that is locked, guarded and verified as well."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta

import pytest
from pytest_runbook.history.store import Store
from pytest_runbook.process import Process

from tests.engine.ailing import FIX, Ailing
from tests.engine.conftest import Project

WEB, DATABASE = "web/availability::answers", "database/availability::answers"
FULL = "host/capacity::has_room"
ACROSS = """
@correct(risk="restart", within=0, settle={settle})
def through_web(at):
    '''Make room, and restart web.'''
    return [call(write, service="disk", text="up"), call(write, service="web", text="{web}"), manage("restart", "web")]
"""


@pytest.fixture
def ailing(project: Project) -> Ailing:
    """A full host, which is mended by way of web."""
    found = Ailing(project)
    found.set("disk", "full")
    found.check("host/capacity.py", "has_room", "disk", "disk-full", severity="P2")
    found.runbook("disk-full", ACROSS.format(settle=0, web="up"))
    return found


def apply(ailing: Ailing) -> dict[str, str]:
    done = ailing.apply("--max-risk=restart")
    return {name: f"{result.outcome}: {result.remediation}" for name, result in done.results.items()}


def test_a_fix_that_leaves_another_service_down_is_none(ailing: Ailing) -> None:
    ailing.runbook("disk-full", ACROSS.format(settle=0, web="down"))
    told = apply(ailing)
    assert told[FULL].startswith("still-failing:"), told
    assert f"made it worse: {WEB} failed after it" in told[FULL]
    assert told[WEB].startswith("remediated:"), "what it broke is a case of its own"


def test_one_that_takes_a_service_down_on_which_others_depend_is_none_either(ailing: Ailing) -> None:
    ailing.runbook(
        "disk-full",
        ACROSS.format(settle=0, web="down").replace('manage("restart", "web")', 'manage("stop", "database")'),
    )
    assert f"made it worse: {WEB}" in apply(ailing)[FULL]


def test_it_waits_for_whoever_holds_the_other_service(ailing: Ailing) -> None:
    store = Store.open("sqlite:///var/history.db", "Shop", "production", root=ailing.project.folder)
    store.begin_run("another")
    with store.lock("web", "another"):
        assert '"web" is locked by the run "another"' in apply(ailing)[FULL]
    assert not ailing.log


ELSEWHERE = """
[probes.host]
kind = "host"
uri = "ssh://nobody@127.0.0.1:1"
[services.shop]
manager = "one"
[managers.one]
kind = "compose"
file = "/opt/shop/shop.yml"
project = "shop"
"""


def test_no_service_of_a_system_elsewhere_is_restarted_here(ailing: Ailing) -> None:
    ailing.runbook(
        "disk-full", "@correct(risk='restart')\ndef again(at):\n    'Again.'\n    return manage('restart', 'shop')\n"
    )
    ailing.project.settings(ELSEWHERE)
    for words in ("plan", "apply"):
        done = ailing.project.run("-m", "daily", f"--remediate={words}", "--max-risk=restart")
        (step,) = done.results[FULL].steps
        assert (step.outcome, step.actions) == ("refused", ["service manager: restart shop"]), done.output
        assert 'nothing says on which machine the manager "one" acts: that of probes.host is not this one' in step.why
    ailing.project.settings(f'{ELSEWHERE}on = "host"\n')
    (step,) = ailing.project.run("-m", "daily", "--remediate=plan", "--max-risk=restart").results[FULL].steps
    assert (step.outcome, step.actions) == ("would-run", ["service manager: restart shop  (on host)"])


IN_VAIN = """
@correct(risk="restart", within=0)
def restart_web(at):
    '''Restart web.'''
    return manage("restart", "web")
"""
MILD_FIRST = "@correct(within=0)\ndef mild(at):\n    '''Try.'''\n    return call(note_it)\n" + IN_VAIN
NOTE_IT = "def note_it(tools):\n    '''Note it.'''\n    note('mild')\n"


def test_two_runbooks_do_not_restart_one_service_one_after_the_other(ailing: Ailing) -> None:
    ailing.settings(cooldown=3600)
    ailing.runbook("disk-full", IN_VAIN)
    assert apply(ailing)[FULL] == "still-failing: still-failing: 1 step did not help"
    ailing.set("web", "down")
    ailing.runbook("web-down", NOTE_IT + MILD_FIRST)
    done = ailing.apply("--max-risk=restart")
    mild, restart = done.results[WEB].steps
    assert (mild.outcome, restart.outcome) == ("done", "refused")
    assert restart.why.startswith(
        "web was started or stopped 1 time within 24 h 0 min, last by disk-full, and that did not help: the next try is due "
    )
    assert ailing.log == ["mild"]


def test_two_runbooks_in_one_run_do_not_either(ailing: Ailing) -> None:
    ailing.settings(cooldown=3600)
    ailing.runbook("disk-full", IN_VAIN)
    ailing.check("web/errors.py", "are_few", "errors", "web-errors", severity="P3")
    ailing.set("errors", "many")
    ailing.runbook("web-errors", IN_VAIN)
    told = apply(ailing)
    assert told[FULL] == "still-failing: still-failing: 1 step did not help"
    assert "web was started or stopped 1 time" in told["web/errors::are_few"]


def test_nobody_touches_a_service_more_often_than_any_runbook_may_try(ailing: Ailing) -> None:
    ailing.settings(attempts=1)
    ailing.runbook("disk-full", IN_VAIN)
    assert apply(ailing)[FULL] == "still-failing: still-failing: 1 step did not help"
    ailing.set("web", "down")
    ailing.runbook("web-down", IN_VAIN)
    assert apply(ailing)[WEB] == (
        'failed: refused: "Restart web": web was started or stopped 1 time within 24 h 0 min, last by disk-full, '
        "and that did not help: a person has to look"
    )


def test_a_verified_fix_lets_the_next_runbook_touch_the_service(ailing: Ailing) -> None:
    ailing.settings(cooldown=3600)
    assert apply(ailing)[FULL].startswith("remediated:")
    ailing.set("web", "down")
    ailing.runbook("web-down", IN_VAIN)
    assert apply(ailing)[WEB] == "still-failing: still-failing: 1 step did not help"


def test_it_does_not_act_in_the_maintenance_of_the_other_service(ailing: Ailing) -> None:
    start, end = (datetime.now(UTC) + timedelta(hours=hours) for hours in (-1, 1))
    ailing.project.settings(
        f'[[maintenance]]\nservices = ["web"]\nowner = "a"\nreason = "an upgrade"\nstart = {start.isoformat()}\n'
        f"end = {end.isoformat()}\n"
    )
    told = apply(ailing)[FULL]
    assert "web is in maintenance by a until" in told
    assert "an upgrade" in told
    assert not ailing.log


def test_a_switch_that_is_pulled_while_the_need_is_looked_at_stops_the_step(ailing: Ailing) -> None:
    ailing.set("web", "down")
    ailing.runbook(
        "web-down",
        """
        def slow(tools):
            '''Take long to look.'''
            Path("var/remediation.stop").touch()
            return True

        @correct(within=0, only_if=lambda at: call(slow))
        def mend(at):
            '''Write that it is up.'''
            return call(write, service=at.service, text="up")
        """,
    )
    (ailing.project.folder / "var").mkdir()
    assert "remediation.stop" in apply(ailing)[WEB]
    assert not ailing.log


def test_nothing_is_done_when_nobody_looked_at_what_the_service_depends_on(ailing: Ailing) -> None:
    ailing.set("web", "down")
    done = ailing.apply("--deselect=checks/database/availability.py::test_answers")
    assert done.results[WEB].remediation == (
        "refused: web depends on database, and no availability check of that was in this run"
    )
    assert not ailing.log


def test_what_passes_again_when_something_else_was_looked_at_is_not_remediated(ailing: Ailing) -> None:
    ailing.project.checks(
        "web/errors.py",
        """
        @check("daily", severity="P3", runbook="web-down")
        def test_heals():
            seen = open("state/seen").read()
            open("state/seen", "w").write(seen + "x")
            assert seen
        """,
    )
    ailing.set("seen", "")
    ailing.runbook(
        "disk-full",
        "@diagnose\ndef look(at):\n    '''Look.'''\n    return command('true')\n" + FIX.replace("routine", "isolate"),
    )
    told = apply(ailing)
    assert told["web/errors::heals"] == "failed: not-needed: it passes again by itself: nothing was done"


def test_what_flaps_does_not_pass_again(ailing: Ailing) -> None:
    ailing.project.checks(
        "web/errors.py",
        """
        @check("daily", severity="P3", runbook="web-down")
        def test_flaps():
            seen = open("state/seen").read()
            open("state/seen", "w").write(seen + "x")
            assert len(seen) % 2
        """,
    )
    ailing.set("seen", "")
    assert apply(ailing)["web/errors::flaps"].startswith("still-failing:")


def test_what_waited_for_a_root_that_passes_again_is_looked_at_again(ailing: Ailing) -> None:
    ailing.set("web", "down")
    ailing.project.checks(
        "database/availability.py",
        """
        @check("daily", severity="P1", runbook="database-down")
        def test_answers():
            seen = open("state/seen").read()
            open("state/seen", "w").write(seen + "x")
            assert seen
        """,
    )
    ailing.set("seen", "")
    told = apply(ailing)
    assert told[DATABASE] == "failed: not-needed: it passes again by itself: nothing was done"
    assert told[WEB].startswith("remediated:"), "it had a fault of its own"


def test_a_step_that_cannot_say_what_it_does_ends_its_case_before_anything_acts(ailing: Ailing) -> None:
    ailing.set("web", "down")
    ailing.runbook(
        "web-down", FIX + "\n@correct()\ndef second(at):\n    '''Fail.'''\n    return command(at.facts.none)\n"
    )
    told = apply(ailing)
    assert told[WEB].startswith('failed: refused: the step "second" of web-down cannot say what it does: '), told
    assert "facts.none" in told[WEB]
    assert told[FULL].startswith("remediated"), "the next case has its turn"
    assert not [line for line in ailing.log if line.startswith("web-down")]


def test_a_lock_that_was_left_says_of_whom_to_whoever_takes_it_next(ailing: Ailing) -> None:
    url, root = "sqlite:///var/history.db", ailing.project.folder
    dead = Store.open(
        url,
        "Shop",
        "production",
        root=root,
        process=Process(Process.current().host, Process.current().place, 2**22 + 1, 1),
    )
    dead.begin_run("dead")
    dead.lock("web", "dead")
    store = Store.open(url, "Shop", "production", root=root)
    store.begin_run("second")
    taken = store.lock("web", "second", 0.5)
    assert taken.after == "dead"
    taken.leave()
    taken.release()
    time.sleep(0.6)  # nobody renews it
    store.begin_run("third")
    assert store.lock("web", "third", 0.5).after == "dead", os.getpid()

"""What fails is mended by its runbook, and the same check says whether it worked."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import pytest
from pytest_runbook.model import Result

from tests.engine.ailing import FIX, Ailing
from tests.engine.conftest import Project

WEB, DATABASE = "web/availability::answers", "database/availability::answers"


@pytest.fixture
def ailing(project: Project) -> Ailing:
    return Ailing(project)


def outcomes(result: Result) -> list[tuple[str, str]]:
    """Name and outcome of each step."""
    return [(step.name, str(step.outcome)) for step in result.steps]


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_a_failing_check_is_remediated_and_passes_again(ailing: Ailing, workers: tuple[str, ...]) -> None:
    ailing.set("web", "down")
    done = ailing.apply(*workers)
    assert done.code == 0, done.output
    assert done.outcomes == {WEB: "remediated", DATABASE: "passed"}
    result = done.results[WEB]
    assert outcomes(result) == [("mend", "done")]
    assert result.steps[0].actions == ["write(service='web', text='up'): Write the state of a service"]
    assert [attempt.outcome for attempt in result.attempts] == ["failed", "passed", "passed"]
    assert result.remediation == 'remediated: "Write that it is up" fixed it'
    assert (ailing.state("web"), ailing.log) == ("up", ["web-down writes up to web"])
    assert "1 passed, 1 remediated" in done.output
    assert done.journal.results[0].to_json() == done.record.results[0].to_json()


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_the_terminal_tells_it_in_order_also_when_not_every_check_was_selected(
    ailing: Ailing, workers: tuple[str, ...]
) -> None:
    ailing.project.checks("web/size.py", '@check("weekly")\ndef test_is_small():\n    """Small."""\n    assert True\n')
    ailing.set("web", "down")
    checked, head, told = ailing.apply(*workers).output.partition("= remediation: apply, up to routine =")
    assert head
    assert checked.rpartition("\n")[2].strip("=") == "", "the head has a line of its own"
    assert "collected" not in told
    assert "1 passed, 1 remediated" in told.replace(" 1 deselected,", "")


def test_what_could_not_look_below_keeps_no_failure_from_being_mended(ailing: Ailing) -> None:
    ailing.set("web", "down")
    (ailing.project.folder / "state" / "database").unlink()  # the check crashes: it sees nothing
    done = ailing.apply()
    assert done.code == 1, done.output
    assert done.outcomes == {WEB: "remediated", DATABASE: "unmeasured"}


def test_a_green_run_does_nothing_and_needs_no_history(ailing: Ailing) -> None:
    done = ailing.apply()
    assert done.code == 0
    assert set(done.outcomes.values()) == {"passed"}
    assert not ailing.log
    assert not (ailing.project.folder / "var").exists()


def test_without_being_told_nothing_is_mended(ailing: Ailing) -> None:
    ailing.set("web", "down")
    done = ailing.project.run("-m", "daily")
    assert done.code == 1
    assert done.outcomes[WEB] == "failed"
    assert not ailing.log


def test_strict_lets_what_had_to_be_mended_fail_the_run(ailing: Ailing) -> None:
    ailing.set("web", "down")
    done = ailing.apply("--strict")
    assert done.code == 1
    assert done.outcomes[WEB] == "remediated"
    assert done.record.reasons == done.journal.reasons == ["--strict: 1 check had to be fixed"]


def test_the_ladder_is_climbed_until_the_check_passes(ailing: Ailing) -> None:
    ailing.set("web", "down")
    ailing.runbook(
        "web-down",
        """
        @diagnose
        def look(at):
            '''Show the state.'''
            return command("cat", f"state/{at.service}")

        @correct(within=0, only_if=lambda at: call(says, service=at.service, text="stuck"))
        def unstick(at):
            '''Unstick it.'''
            return call(write, service=at.service, text="up")

        @correct(within=0)
        def nothing(at):
            '''Do what does not help.'''
            return command("true")

        @correct(within=0)
        def breaks(at):
            '''Do what breaks.'''
            return command("sh", "-c", "echo went wrong; exit 3")

        @correct(risk="restart", within=0)
        def mend(at):
            '''Write that it is up.'''
            return call(write, service=at.service, text="up")

        @last_resort(risk="destructive")
        def never(at):
            '''Never come to this.'''
            return call(write, service=at.service, text="gone")
        """,
    )
    done = ailing.apply("--max-risk=restart")
    assert done.outcomes[WEB] == "remediated", done.output
    steps = done.results[WEB].steps
    assert outcomes(done.results[WEB]) == [
        ("look", "done"),
        ("unstick", "not-needed"),
        ("nothing", "done"),
        ("breaks", "failed"),
        ("mend", "done"),
    ]
    assert steps[0].output.strip() == "down"
    assert "went wrong" in steps[3].output
    assert "3" in steps[3].why
    assert ailing.log == ["web-down writes up to web"]


def test_what_does_not_help_is_still_failing(ailing: Ailing) -> None:
    ailing.set("web", "down")
    ailing.runbook(
        "web-down", "@correct(within=0)\ndef nothing(at):\n    '''Do nothing.'''\n    return command('true')\n"
    )
    done = ailing.apply()
    assert done.code == 1
    assert done.outcomes[WEB] == "still-failing"
    assert done.results[WEB].remediation == "still-failing: 1 step did not help"
    assert "FAILED" in done.output


def test_only_the_root_is_treated_and_its_dependants_are_looked_at_again(ailing: Ailing) -> None:
    ailing.set("database", "down")
    ailing.check("web/availability.py", "reads", "database", "web-down")
    done = ailing.apply()
    assert done.code == 0, done.output
    assert done.outcomes == {WEB: "passed", DATABASE: "remediated", "web/availability::reads": "remediated"}
    assert ailing.log == ["database-down writes up to database"]
    assert done.results["web/availability::reads"].remediation == "passes again since database-down ran"
    assert not done.results["web/availability::reads"].steps


def test_what_passes_since_another_fix_is_not_said_to_pass_by_itself(ailing: Ailing) -> None:
    """As the slot that a standby, which was down, had kept full on the primary."""
    ailing.set("web", "down")
    ailing.check("database/capacity.py", "slots_are_short", "web", "database-down", severity="P3")
    done = ailing.apply()
    assert done.code == 0, done.output
    slots = done.results["database/capacity::slots_are_short"]
    assert (slots.outcome, slots.remediation) == ("remediated", "not-needed: it passes again since web-down ran")
    assert ailing.log == ["web-down writes up to web"]


def test_a_fault_behind_a_fault_is_found_and_treated(ailing: Ailing) -> None:
    ailing.set("database", "down")
    ailing.set("web", "down")
    done = ailing.apply()
    assert done.code == 0, done.output
    assert done.outcomes == {WEB: "remediated", DATABASE: "remediated"}
    assert ailing.log == ["database-down writes up to database", "web-down writes up to web"]


def test_two_runbooks_of_one_service_are_two_cases(ailing: Ailing) -> None:
    for state in ("disk", "speed"):
        ailing.set(state, "down")
        ailing.check(f"web/{state}.py", f"has_{state}", state, f"{state}-low")
        ailing.runbook(f"{state}-low", FIX.replace("at.service", repr(state)))
    done = ailing.apply()
    assert done.code == 0, done.output
    assert sorted(ailing.log) == ["disk-low writes up to disk", "speed-low writes up to speed"]


def test_what_passes_again_by_itself_is_left_alone(ailing: Ailing) -> None:
    ailing.project.checks(
        "web/errors.py",
        """
        @check("daily", severity="P2", runbook="web-down")
        def test_heals():
            seen = open("state/seen").read()
            open("state/seen", "w").write(seen + "x")
            assert seen
        """,
    )
    ailing.set("seen", "")
    done = ailing.apply()
    assert done.outcomes["web/errors::heals"] == "failed"
    assert done.code == 1
    assert done.results["web/errors::heals"].remediation == ("not-needed: it passes again by itself: nothing was done")
    assert not ailing.log


def test_what_makes_it_worse_is_taken_back_and_nothing_more_is_tried(ailing: Ailing) -> None:
    ailing.set("web", "down")
    ailing.set("disk", "up")
    ailing.check("web/capacity.py", "has_room", "disk", "web-down")
    ailing.runbook(
        "web-down",
        """
        @correct(within=0, undo=lambda at: call(write, service="disk", text="up"))
        def fill(at):
            '''Fill the disk.'''
            return call(write, service="disk", text="full")

        @correct(within=0)
        def mend(at):
            '''Write that it is up.'''
            return call(write, service=at.service, text="up")
        """,
    )
    done = ailing.apply()
    assert done.code == 1
    assert done.outcomes[WEB] == "still-failing"
    assert '"Fill the disk" made it worse: web/capacity::has_room failed after it' in done.results[WEB].remediation
    assert [(s.name, s.stage, s.outcome) for s in done.results[WEB].steps] == [
        ("fill", "correct", "done"),
        ("fill", "undo", "done"),
    ]
    assert done.outcomes["web/capacity::has_room"] == "passed"
    assert ailing.state("disk") == "up"


def test_all_that_acted_is_taken_back_the_latest_first_also_when_one_cannot(ailing: Ailing) -> None:
    ailing.set("web", "down")
    ailing.runbook(
        "web-down",
        """
        @correct(within=0, undo=lambda at: call(write, service="a", text="as before"))
        def first(at):
            '''Change a.'''
            return call(write, service="a", text="changed")

        @correct(within=0, undo=lambda at: command("false"))
        def second(at):
            '''Change b.'''
            return call(write, service="b", text="changed")

        @correct(within=0, only_if=lambda at: command("false"), undo=lambda at: call(write, service="c", text="touched"))
        def third(at):
            '''Change c.'''
            return call(write, service="c", text="changed")
        """,
    )
    done = ailing.apply()
    assert done.outcomes[WEB] == "still-failing"
    undone = [(step.name, step.outcome) for step in done.results[WEB].steps if step.stage == "undo"]
    assert undone == [("second", "failed"), ("first", "done")]
    assert (ailing.state("a"), ailing.state("b")) == ("as before", "changed")
    assert not (ailing.project.folder / "state" / "c").exists()


def test_a_fix_that_breaks_something_else_is_told(ailing: Ailing) -> None:
    ailing.set("web", "down")
    ailing.set("disk", "up")
    ailing.check("web/capacity.py", "has_room", "disk", "web-down")
    ailing.runbook(
        "web-down",
        """
        @correct(within=0)
        def mend(at):
            '''Write that it is up.'''
            return [call(write, service=at.service, text="up"), call(write, service="disk", text="full")]
        """,
    )
    done = ailing.apply()
    assert done.code == 1
    assert done.outcomes == {WEB: "remediated", DATABASE: "passed", "web/capacity::has_room": "failed"}
    assert "before web-down ran" in done.results["web/capacity::has_room"].remediation


def test_a_step_that_hangs_is_killed_and_the_next_one_tried(ailing: Ailing) -> None:
    ailing.set("web", "down")
    ailing.runbook(
        "web-down",
        """
        @correct(within=0, timeout=1)
        def hang(at):
            '''Hang.'''
            return command("sleep", "600")
        """
        + FIX.replace("\n", "\n        "),
    )
    done = ailing.apply()
    assert done.outcomes[WEB] == "remediated", done.output
    assert outcomes(done.results[WEB]) == [("hang", "timed-out"), ("mend", "done")]


def test_a_plan_says_exactly_what_would_be_done_and_changes_nothing(ailing: Ailing) -> None:
    ailing.set("web", "down")
    ailing.runbook(
        "web-down",
        """
        @correct(only_if=lambda at: call(says, service=at.service, text="stuck"))
        def unstick(at):
            '''Unstick it.'''
            return command("true")

        @correct()
        def mend(at):
            '''Write that it is up.'''
            return [command("echo", "two words"), call(write, service=at.service, text="up")]

        @correct(risk="restart")
        def restart(at):
            '''Restart it.'''
            return manage("restart")
        """,
    )
    before = _files(ailing.project.folder)
    done = ailing.project.run("-m", "daily", "--remediate=plan")
    assert done.code == 1
    assert _files(ailing.project.folder, but="report") == before
    result = done.results[WEB]
    assert (result.outcome, result.remediation) == ("failed", "would run")
    assert outcomes(result) == [("unstick", "not-needed"), ("mend", "would-run"), ("restart", "refused")]
    assert result.steps[1].actions == [
        "echo 'two words'",
        "write(service='web', text='up'): Write the state of a service",
    ]
    assert "echo 'two words'" in done.output


def _files(folder: Path, but: str = "") -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in found
        if not but or but not in path.relative_to(folder).parts
    }


def test_a_fix_that_does_not_hold_counts_one_severity_higher(ailing: Ailing) -> None:
    ailing.set("slow", "down")
    ailing.check("web/performance.py", "is_quick", "slow", "slow-web", severity="P3")
    ailing.runbook("slow-web", FIX.replace("at.service", '"slow"'))
    assert ailing.apply().outcomes["web/performance::is_quick"] == "remediated"
    ailing.set("slow", "down")
    done = ailing.project.run("-m", "daily")
    result = done.results["web/performance::is_quick"]
    assert (result.outcome, result.severity) == ("failed", "P2")
    assert result.recurred.startswith("slow-web fixed it ")
    assert done.code == 1, "P2 gates, where P3 would not"


def test_secrets_reach_neither_the_record_of_a_step_nor_the_terminal(ailing: Ailing) -> None:
    ailing.set("web", "down")
    ailing.project.write(".env", "SHOP_PASSWORD=canary-2481-secret\n")
    ailing.runbook(
        "web-down",
        """
        @correct(within=0)
        def tell(at):
            '''Say too much.'''
            return command("sh", "-c", "echo canary-2481-secret; exit 1")
        """,
    )
    done = ailing.apply()
    assert done.outcomes[WEB] == "still-failing"
    assert "canary-2481" not in done.output
    told = [
        path for path in done.folder.rglob("*") if path.is_file() and not path.parent.name.startswith("remediation-")
    ]
    assert not [path for path in told if b"canary-2481" in path.read_bytes()]
    history = ailing.project.folder / "var" / "history.db"
    assert not any(b"canary-2481" in path.read_bytes() for path in history.parent.glob("history.db*"))


def test_a_run_that_was_killed_in_a_step_is_told_by_the_next_and_nothing_is_repeated(ailing: Ailing) -> None:
    ailing.set("web", "down")
    ailing.runbook(
        "web-down",
        """
        def hang(tools):
            '''Hang.'''
            note("begun")
            import time
            time.sleep(600)

        @correct(within=0)
        def wait(at):
            '''Wait for ever.'''
            return call(hang)
        """,
    )
    command = [*ailing.project.command("-m", "daily", "--remediate=apply")]
    environment = ailing.project.environment()
    with subprocess.Popen(
        command, cwd=ailing.project.folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        end = time.monotonic() + 60
        while not ailing.log:
            assert time.monotonic() < end
            time.sleep(0.05)
        process.kill()
    ailing.runbook("web-down", FIX)
    done = ailing.apply()
    assert done.outcomes[WEB] == "remediated", done.output
    assert ailing.log == ["begun", "web-down writes up to web"]
    assert [
        problem for problem in done.record.problems if 'was killed while "do wait" of web-down ran on web' in problem
    ]


def test_runbooks_that_are_wrong_stop_the_run_before_it_begins(ailing: Ailing) -> None:
    ailing.runbook("web-down", "@correct(risk='bold')\ndef mend(at):\n    '''Mend.'''\n")
    ailing.runbook(
        "database-down", "@last_resort()\ndef last(at):\n    '''End.'''\n@diagnose\ndef look(at):\n    '''Look.'''\n"
    )
    done = ailing.apply()
    assert done.code == 4
    assert 'unknown risk "bold" (known: destructive, isolate, observe, restart, routine)' in done.output
    assert 'the step "look" (diagnose) comes after "last" (last-resort)' in done.output
    assert not (ailing.project.folder / "report").exists()


def test_the_history_of_a_run_is_readable_json(ailing: Ailing) -> None:
    ailing.set("web", "down")
    done = ailing.apply()
    lines = [json.loads(line) for line in (done.folder / "journal.jsonl").read_text().splitlines()]
    kinds = [line["type"] for line in lines]
    assert kinds.index("intent") < kinds.index("step") < kinds.index("verification")

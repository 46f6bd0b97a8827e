"""A run that is killed, stopped or interrupted in the middle of mending leaves nothing wrong, and what is unknown is said."""

from __future__ import annotations

import os
import random
import secrets
import signal
import time

import pytest
from pytest_runbook.evidence import journal

from tests.engine import crashes
from tests.engine.conftest import Finished, Project
from tests.engine.crashes import Crashing, anywhere

SEED = os.environ.get("CRASH_SEED") or secrets.token_hex(4)
"""Of all that is random here; a failure shows it, and setting it repeats the choices."""
KILLS = int(os.environ.get("CRASH_KILLS", "200"))
CASES = 20
OFFSETS = 10
ILL = (("web",), ("web",), ("database",), ("host",), ("database", "web"))
WEB = "web/availability::answers"
STUBBORN = """
def hang(tools):
    '''Hang, and do not listen.'''
    import signal, time
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    note("begun")
    while True:
        time.sleep(0.2)
        note("works")

@correct(within=0)
def wait(at):
    '''Wait for ever.'''
    return call(hang)
"""
LONG = """
def stay(tools, *, number):
    '''Take ten seconds.'''
    import time
    note(f"{tools.situation.run} begins {number}")
    time.sleep(10)
    note(f"{tools.situation.run} ends {number}")

@correct(within=0)
def first(at):
    '''Take long.'''
    return call(stay, number=1)

@correct(within=0, undo=lambda at: call(stay, number=3))
def second(at):
    '''Take long again.'''
    return call(stay, number=2)
"""


@pytest.mark.parametrize("case", range(CASES))
def test_kill_at_any_point_of_mending(project: Project, case: int) -> None:
    print(f"CRASH_SEED={SEED}")
    chance, system = random.Random(f"{SEED} {case}"), Crashing(project)
    length, kills, slowest = 3.0, 0, 0.0
    while kills < KILLS // CASES:
        for service in chance.choice(ILL):
            system.set(service, "down")
        while True:  # also a run that finds what a killed one left may be killed
            point = anywhere(chance, length)
            unknown = crashes.open_steps(system)
            run = system.start()
            reached = point.reached(run)
            killed = run.kill() and reached
            slowest = max(slowest, system.settled())
            crashes.readable(system, run)
            crashes.executed_once(system)
            kills += killed
            print(f"{point}: {'killed' if killed else 'ended before'}")
            if not killed or chance.random() < 0.75:
                break
        if killed:
            unknown, begun = crashes.open_steps(system), time.monotonic()
            done = system.finish()
            length = time.monotonic() - begun
        else:  # it is the one that has to have mended everything, and told what is unknown
            done = system.ended(run)
        print(f"  {len(unknown)} unknown, then {done.outcomes}, a whole run takes {length:.1f} s")
        crashes.told(done, unknown)
        crashes.executed_once(system)
        crashes.mended(system, done)
        system.set(crashes.HOPELESS, "up")
    print(f"{kills} kills; the last process of a step was gone after {slowest:.2f} s at most")


def test_the_history_command_shows_what_is_unknown(project: Project) -> None:
    system = Crashing(project)
    system.set("web", "down")
    run = system.start()
    assert run.reaches(lambda: bool(system.log))
    assert run.kill()
    system.settled()
    assert "do mend (routine): open" in system.history()
    system.set("web", "up")
    done = system.finish()
    assert done.outcomes[WEB] == "passed"
    assert len(done.record.problems) == 1, "also a green run says it"
    assert "do mend (routine): unknown" in system.history()
    assert not system.finish().record.problems


def test_runs_that_die_in_the_middle_again_and_again_are_tries_that_did_not_help(project: Project) -> None:
    system = Crashing(project, attempts=2)
    system.set("web", "down")
    system.runbook("web-down", LONG)
    for number in (1, 2):
        run = system.start()
        assert run.reaches(lambda: len(system.log) == number)  # noqa: B023 - asked at once
        assert run.kill()
        system.settled()
    done = system.finish()
    assert done.code == 1
    assert done.results[WEB].remediation == (
        "refused: it was tried 2 times within 24 h 0 min and did not help: a person has to look"
    )
    assert len(system.log) == 2


def test_nothing_acts_while_a_step_of_a_dead_run_has_not_ended(project: Project) -> None:
    system = Crashing(project)
    system.set("web", "down")
    system.runbook("web-down", STUBBORN)
    run = system.start()
    assert run.reaches(lambda: bool(system.log))
    system.runbook("web-down", crashes.WORK + crashes.RUNBOOKS["web"])
    assert run.kill()
    done = system.finish()
    assert done.outcomes[WEB] == "remediated", done.output
    words = [line.split()[0] for line in system.log]
    assert words == sorted(words, key=["begun", "works", "begin", "end"].index)


def test_a_folder_in_which_a_run_was_killed_is_used_again(project: Project) -> None:
    system = Crashing(project)
    folder = project.folder / "report"
    folder.mkdir()
    (folder / journal.NAME).write_text('{"schema": 1, "type": "problem", "text": "whole"}\n{"schema": 1, "type": "res')
    run = system.start(f"--report={folder}")
    assert run.process.wait(60) == 0
    told = journal.read(folder / journal.NAME)
    assert (told.exit_code, len(told.results)) == (0, 3)


@pytest.mark.parametrize(
    "numbers",
    [[signal.SIGINT], [signal.SIGTERM], [signal.SIGHUP], [signal.SIGINT, signal.SIGINT, signal.SIGTERM]],
    ids=["ctrl-c", "cancelled", "lost-session", "impatient"],
)
def test_an_interrupted_step_is_ended_and_on_record(project: Project, numbers: list[signal.Signals]) -> None:
    system = Crashing(project)
    system.set("web", "down")
    system.runbook("web-down", LONG)
    run = system.start()
    assert run.reaches(lambda: bool(system.log))
    for number in numbers:
        run.signal(number)
        time.sleep(0.05)
    done = system.ended(run)
    assert done.code == 2, done.output
    assert system.settled() < 1, "it waited for the step's end"
    result = done.results[WEB]
    assert done.record.interrupted
    assert done.journal.results[-1].steps == result.steps
    assert [(step.name, step.outcome) for step in result.steps] == [("first", "unknown")]
    assert (result.outcome, result.remediation) == ("failed", "unknown: the run ended in the middle of it")
    (attempt,) = system.store.rows()
    assert attempt.outcome == "unknown"
    assert [(step.step, step.outcome) for step in attempt.steps] == [("do first", "unknown")]
    assert len(system.log) == 1
    system.runbook("web-down", crashes.WORK + crashes.RUNBOOKS["web"])
    after = system.finish()
    assert after.outcomes[WEB] == "remediated"
    assert not after.record.problems, "the interrupted run has told it"


def test_nothing_more_is_mended_when_a_check_swallows_the_interruption(project: Project) -> None:
    system = Crashing(project)
    for service in ("database", "host"):
        system.set(service, "down")
    system.project.checks(
        "database/availability.py",
        """
        import os, signal

        @check("daily", severity="P1", runbook="database-down")
        def test_answers():
            "Retries whatever happens."
            up = open("state/database").read() == "up"
            try:
                os.kill(os.getpid(), signal.SIGTERM if up else 0)
            except BaseException:
                pass
            assert up
        """,
    )
    done = system.finish()
    assert (done.code, done.record.interrupted) == (2, True), done.output
    assert {step.runbook for step in system.steps} == {"database-down"}
    assert done.outcomes["database/availability::answers"] == "failed"


def test_a_history_that_breaks_ends_the_mending_and_what_was_done_is_on_record(project: Project) -> None:
    system = Crashing(project)
    system.set("web", "down")
    system.runbook(
        "web-down",
        """
        @correct(within=0)
        def break_it(at):
            '''Break the history.'''
            overwrite = 'for file in var/history.db*; do echo "no history any more" > $file; done'
            return command("sh", "-c", overwrite)
        """,
    )
    done = system.finish()
    assert done.code == 1, done.output
    result = done.results[WEB]
    assert [(step.name, step.outcome) for step in result.steps] == [("break_it", "done")]
    assert (result.outcome, result.remediation) == ("failed", "unknown: the run ended in the middle of it")
    (problem,) = done.record.problems
    assert problem.startswith("nothing more was mended, for without a history there are no guards: history ")
    assert "hint: move the file away" in problem


def test_of_two_runs_at_any_distance_one_acts(project: Project) -> None:
    print(f"CRASH_SEED={SEED}")
    chance, system = random.Random(SEED), Crashing(project)
    for _ in range(OFFSETS):
        system.set("web", "down")
        before = len(system.log)
        one = system.start()
        time.sleep(offset := chance.uniform(0, 1.5))
        two = system.start()
        ended = [system.ended(run) for run in (one, two)]
        outcomes = sorted(done.outcomes[WEB] for done in ended)
        print(f"{offset:.2f} s: {outcomes}")
        assert outcomes in (["failed", "remediated"], ["passed", "remediated"]), [done.output for done in ended]
        assert [line.split()[0] for line in system.log[before:]] == ["begin", "end"]
        assert not [problem for done in ended for problem in done.record.problems]
    crashes.executed_once(system)


def test_a_run_that_was_stopped_for_its_lease_does_nothing_more(project: Project) -> None:
    system = Crashing(project, lease=5.0)
    system.set("web", "down")
    system.runbook("web-down", LONG)
    stopped = system.start()
    assert stopped.reaches(lambda: bool(system.log))
    stopped.signal(signal.SIGSTOP)
    system.runbook("web-down", crashes.WORK + crashes.RUNBOOKS["web"])
    other = _acting(system)
    assert other.outcomes[WEB] == "remediated", other.output
    system.set("web", "down")  # so that the one that goes on would have a reason
    stopped.signal(signal.SIGCONT)
    done = system.ended(stopped)
    steps = [(step.name, step.stage, step.outcome) for step in done.results[WEB].steps]
    assert steps == [("first", "correct", "failed"), ("second", "correct", "refused")], done.output
    first, second = done.results[WEB].steps
    assert "the run itself was stopped for 5.0 s" in first.why
    assert second.why == "the lock was lost: another run acts on this service"
    assert [line.split()[1] for line in system.log if line.startswith(done.record.id)] == ["begins"]


def _acting(system: Crashing) -> Finished:
    """A run that was not refused because the lock is held; those before it were."""
    end = time.monotonic() + 60
    while "is locked by" in (done := system.finish()).output:
        assert time.monotonic() < end, done.output
        time.sleep(0.5)
    return done

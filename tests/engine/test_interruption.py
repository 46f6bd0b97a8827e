"""Whatever ends a run early, what was done is on record and nothing is left running."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest
from pytest_runbook import interrupts
from pytest_runbook.evidence import journal
from pytest_runbook.model import RunRecord

from .conftest import Finished, Project

SLOW = """
    @check("daily")
    async def test_a_quick():
        "Quick."
        assert True

    @check("daily")
    async def test_b_slow():
        "Slow."
        await asyncio.sleep(300)
        assert True
"""

STUBBORN = """
    import os, signal

    @check("daily")
    async def test_a_quick():
        "Quick."
        assert True

    @check("daily")
    async def test_b_stubborn():
        "Does not like to be cancelled: somebody gets impatient."
        while True:
            try:
                await asyncio.sleep(300)
            except asyncio.CancelledError:
                SEND
        assert True
"""
SWALLOWS = """
    import pathlib, time

    @check("daily")
    async def test_a_quick():
        "Quick."
        assert True

    @check("daily")
    def test_b_retries_whatever_happens():
        "Waits."
        pathlib.Path("waits").touch()
        try:
            time.sleep(300)
        except BaseException:
            pass
        assert True

    @check("daily")
    def test_c_after():
        "Comes after."
        assert True
"""
LOST = """
    @check("daily")
    async def test_a_quick():
        "Quick."
        assert True

    @check("daily")
    def test_b_goes_on(lost):
        "Goes on without its terminal."
        assert lost is None
"""
SEND = "for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP): os.kill(os.getpid(), one)"
STUBBORN = STUBBORN.replace("SEND", SEND)
ENDS = (
    ("pytest_sessionfinish", "tryfirst=True"),
    ("pytest_runbook_finished", "tryfirst=True"),
    ("pytest_terminal_summary", ""),
    ("pytest_unconfigure", "trylast=True"),
)
"""Hooks at the end of a session, in their order."""
REPORTS = {"run.json", "junit.xml", "report.html", "summary.txt", "allure-results"}


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until CONDITION() holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition never came true"
        time.sleep(0.05)


def started(
    project: Project, *arguments: str, before: Sequence[str] = (), checks: str = SLOW
) -> tuple[subprocess.Popen[str], Path]:
    """A run of CHECKS whose first check has been recorded, and its journal; BEFORE is what starts it."""
    project.settings("timeout = 600\n")
    project.write(
        "shop.toml", "timeout = 600\n" + (project.folder / "shop.toml").read_text().replace("timeout = 600\n", "")
    )
    project.checks("web/pages.py", checks)
    process = subprocess.Popen(
        # Whatever ignored Ctrl-C when these tests were started, as a shell in the background does, this one does not.
        ["env", "--default-signal=INT,TERM,HUP", *before, *project.command(*arguments)],
        cwd=project.folder,
        env=project.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    path = project.folder / "report" / journal.NAME
    until(lambda: path.exists() and '"type": "result"' in path.read_text())
    return process, path


def ended(process: subprocess.Popen[str], path: Path) -> Finished:
    """The run that was interrupted, at its end: with every report of what was done before."""
    output, _ = process.communicate(timeout=60)
    run = Finished(process.returncode, output, path.parent)
    assert run.code == 2, output
    assert run.outcomes["web/pages::a_quick"] == "passed"
    assert run.record.interrupted
    assert run.journal.exit_code == 2
    assert "interrupted" in output.lower()
    assert {one.name for one in path.parent.iterdir()} >= REPORTS
    return run


@pytest.mark.parametrize("number", interrupts.NUMBERS, ids=["ctrl-c", "cancelled", "lost-session"])
def test_an_interrupted_run_writes_the_report_of_what_was_done(project: Project, number: signal.Signals) -> None:
    process, path = started(project)
    process.send_signal(number)
    assert set(ended(process, path).outcomes) == {"web/pages::a_quick"}


def test_a_run_that_ignores_ctrl_c_is_cancelled_all_the_same(project: Project) -> None:
    process, path = started(project, before=["env", "--ignore-signal=INT"])  # as `&` in a script starts it
    process.send_signal(signal.SIGTERM)
    ended(process, path)


def test_what_nohup_started_survives_a_lost_session(project: Project) -> None:
    lost = "import os, signal\nimport pytest\n\n@pytest.fixture\ndef lost():\n    os.kill(os.getpid(), signal.SIGHUP)\n"
    project.write("conftest.py", lost)
    process, path = started(project, before=["env", "--ignore-signal=HUP"], checks=LOST)
    process.communicate(timeout=60)
    run = Finished(process.returncode, "", path.parent)
    assert (run.code, run.outcomes) == (0, {"web/pages::a_quick": "passed", "web/pages::b_goes_on": "passed"})


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "workers"])
def test_who_presses_again_and_again_gets_the_report(project: Project, workers: tuple[str, ...]) -> None:
    everywhere = "".join(f"\n@pytest.hookimpl({when})\ndef {hook}():\n    {SEND}" for hook, when in ENDS)
    project.write("conftest.py", f"import os, signal\nimport pytest\n{everywhere}")
    process, path = started(project, *workers, f"--junitxml={project.folder / 'own.xml'}", checks=STUBBORN)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does, workers too
    ended(process, path)
    assert (project.folder / "own.xml").is_file()


def test_an_end_that_is_asked_for_when_all_was_judged_costs_no_report(project: Project) -> None:
    project.write("conftest.py", f"import os, signal\n\ndef pytest_runbook_finished():\n    {SEND}")
    project.checks("web/pages.py", '@check("daily")\nasync def test_a_quick():\n    "Quick."\n    assert True\n')
    run = project.run()
    assert (run.code, run.outcomes, run.record.interrupted) == (0, {"web/pages::a_quick": "passed"}, False)
    assert {one.name for one in run.folder.iterdir()} >= REPORTS


def test_a_check_that_swallows_the_interruption_is_the_last_one(project: Project) -> None:
    process, path = started(project, checks=SWALLOWS)
    until((project.folder / "waits").exists)
    process.send_signal(signal.SIGTERM)
    assert "web/pages::c_after" not in ended(process, path).outcomes


def test_an_end_that_hangs_can_be_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(interrupts, "NUMBERS", (signal.SIGUSR1,))
    before = signal.signal(signal.SIGUSR1, signal.default_int_handler)
    try:
        with interrupts.once(lambda: asked.append("end")) as ends:
            ends()
            signal.raise_signal(signal.SIGUSR1)
            assert asked == []
            monkeypatch.setattr(interrupts, "PATIENCE", 0.0)
            ends()
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGUSR1)
            assert asked == ["end"]
        assert signal.getsignal(signal.SIGUSR1) == signal.default_int_handler
    finally:
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "workers"])
def test_a_folder_in_which_a_run_goes_on_is_refused(project: Project, workers: tuple[str, ...]) -> None:
    process, path = started(project, *workers)
    before = path.read_text()
    second = project.run(*workers)
    assert second.code == 4, second.output
    assert f'another run writes its journal and reports in "{path.parent}"\n  hint: wait until it' in second.output
    assert path.read_text().startswith(before)
    assert path.read_text().count('"type": "run-started"') == 1
    process.send_signal(signal.SIGINT)
    ended(process, path)
    project.checks("web/pages.py", '@check("daily")\nasync def test_x():\n    "X."\n    assert True\n')
    assert (project.run().code, journal.read(path).exit_code) == (0, 0)


def test_kill_leaves_a_journal_that_says_the_run_did_not_end(project: Project) -> None:
    process, path = started(project)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    told = journal.read(path)
    assert told.finished is None
    assert [r.check.id for r in told.results] == ["web/pages::a_quick"]


def test_what_an_earlier_run_left_in_the_folder_does_not_pass_for_one_that_was_killed(project: Project) -> None:
    project.checks("web/pages.py", '@check("daily")\nasync def test_x():\n    "X."\n    assert True\n')
    green = project.run()
    assert (green.code, green.record.exit_code) == (0, 0)
    process, path = started(project)
    until(lambda: journal.read(path).finished is None, 60)  # its own, and not what stood there before
    until(lambda: [result.check.id for result in journal.read(path).results] == ["web/pages::a_quick"], 60)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    folder = path.parent
    left = RunRecord.from_json(json.loads((folder / "run.json").read_text()))
    assert (left.finished, left.exit_code) == (None, None)
    for name in ("summary.txt", "report.html"):
        told = (folder / name).read_text()
        assert "PASSED" not in told, name
        assert "UNFINISHED" in told, name
    (suite,) = ElementTree.parse(folder / "junit.xml").getroot().iter("testsuite")
    assert int(suite.get("errors", 0)) > 0


def full_at(project: Project, size: int) -> None:
    """No file of PROJECT's runs may grow beyond SIZE bytes, as on a disk that fills up; one check passes."""
    project.write("conftest.py", f"import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))\n")
    project.checks("web/pages.py", '@check("daily")\nasync def test_x():\n    "X."\n    assert True\n')


def test_a_disk_that_fills_up_costs_the_reports_and_the_run_its_green(project: Project) -> None:
    full_at(project, 8000)  # the journal of one check fits, the page does not
    run = project.run()
    assert run.code == 1
    assert 'report "html" was not written: OSError' in run.output
    assert run.output.count('report "html"') == 1
    assert "PASSED" not in run.output.splitlines()[-1]
    assert [r.outcome for r in run.journal.results] == ["passed"]
    assert (run.journal.exit_code, run.record.exit_code) == (1, 1)
    assert run.journal.reasons == run.record.reasons == ["the run could not be recorded whole"]
    assert not list(run.folder.glob("report.html*"))
    assert 'report "html" was not written' in (run.folder / "summary.txt").read_text()
    assert any('report "html" was not written' in problem for problem in run.record.problems)


def test_a_journal_with_a_hole_is_never_green(project: Project) -> None:
    full_at(project, 1000)
    run = project.run("--set", "report.formats=[]")
    assert run.code == 1
    assert "is incomplete: [Errno 27] File too large" in " ".join(run.output.split())
    assert "PASSED" not in run.output.splitlines()[-1]
    assert run.journal.finished is None

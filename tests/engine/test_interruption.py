"""Whatever ends a run early, what was done is on record and nothing is left running."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_runbook.evidence import journal

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


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until CONDITION() holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition never came true"
        time.sleep(0.05)


def started(project: Project) -> tuple[subprocess.Popen[str], Path]:
    """A run of SLOW whose first check has been recorded, and its journal."""
    project.settings("timeout = 600\n")
    project.write(
        "shop.toml", "timeout = 600\n" + (project.folder / "shop.toml").read_text().replace("timeout = 600\n", "")
    )
    project.checks("web/pages.py", SLOW)
    process = subprocess.Popen(
        # Whatever ignored Ctrl-C when these tests were started, as a shell in the background does, this one does not.
        ["env", "--default-signal=INT", *project.command()],
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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "cancelled"])
def test_an_interrupted_run_writes_the_report_of_what_was_done(project: Project, number: signal.Signals) -> None:
    process, path = started(project)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    run = Finished(process.returncode, output, path.parent)
    assert run.code == 2
    assert run.outcomes == {"web/pages::a_quick": "passed"}
    assert run.record.interrupted
    assert run.journal.exit_code == 2
    assert "interrupted" in output.lower()


def test_kill_leaves_a_journal_that_says_the_run_did_not_end(project: Project) -> None:
    process, path = started(project)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    told = journal.read(path)
    assert told.finished is None
    assert [r.check.id for r in told.results] == ["web/pages::a_quick"]


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

"""What a full disk leaves of remediation: a runbook that makes room must be able to run there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from pytest_runbook.runbooks import snapshot

from tests.backup.test_files import mounted
from tests.engine.ailing import Ailing
from tests.engine.conftest import Project

WEB = "web/availability::answers"


@pytest.fixture
def ailing(project: Project) -> Ailing:
    found = Ailing(project)
    found.set("web", "down")
    return found


def test_a_runbook_runs_where_its_copy_cannot_be_kept(ailing: Ailing) -> None:
    ailing.project.write("remediation/large.txt", "x" * 2_000_000)
    (ailing.project.folder / "report").mkdir()
    before = set(Path("/dev/shm").glob("runbook-*"))
    with mounted("-t", "tmpfs", "-o", "size=1m", "none", ailing.project.folder / "report"):
        for mode, outcome in (("plan", "failed"), ("apply", "remediated")):
            report = ailing.project.folder / "report"
            done = ailing.project.run("-m", "daily", f"--remediate={mode}", env={"TMPDIR": str(report)})
            assert done.outcomes[WEB] == outcome, done.output
            (problem,) = done.record.problems
            assert problem.startswith(f'the runbooks that may run are not kept in "{report}": '), done.output
            assert "No space left on device" in problem
            assert not [*report.glob("remediation*")], "a part of them would say something else than what ran"
    assert set(Path("/dev/shm").glob("runbook-*")) == before


def test_where_no_program_can_be_started_the_copy_lies_only_when_no_other_place_has_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, closed, other = (tmp_path / name for name in ("remediation", "closed", "other"))
    for made in (folder, closed, other):
        made.mkdir()
    (folder / "mend.sh").write_text("#!/bin/sh\n")
    monkeypatch.setenv("TMPDIR", str(closed))
    monkeypatch.setattr(snapshot, "PLACES", (str(other),))
    with mounted("-t", "tmpfs", "-o", "noexec", "none", closed):
        for place in (other, closed):
            with snapshot.snapshot(folder, tmp_path / "gone" / "kept", lambda _: None) as copy:
                assert (copy / "mend.sh").read_text() == "#!/bin/sh\n"
                assert copy.parent.parent == place
            assert not any(place.iterdir())
            shutil.rmtree(other, ignore_errors=True)


def test_what_cannot_be_copied_anywhere_is_a_problem_of_the_run(ailing: Ailing) -> None:
    (ailing.project.folder / "remediation" / "notes.txt").symlink_to("gone")
    done = ailing.apply()
    assert (done.code, done.outcomes[WEB]) == (1, "failed"), done.output
    _, problem = done.record.problems
    assert problem.startswith("nothing was mended, for this machine did not let it: the runbooks find no place: ")
    assert "No such file or directory" in problem
    assert not ailing.log


@pytest.mark.parametrize("report", [".", "remediation"])
def test_the_copy_takes_no_folder_that_is_there_also_where_the_reports_lie_beside_the_runbooks(
    ailing: Ailing, report: str
) -> None:
    source = ailing.project.folder / "remediation"
    runbooks = {path.name: path.read_bytes() for path in source.glob("*.py")}
    for mode, outcome in (("plan", "failed"), ("apply", "remediated")):
        done = ailing.project.run("-m", "daily", f"--remediate={mode}", f"--report={report}")
        assert outcome in done.output, done.output
        assert "the runbooks that may run are not kept" not in done.output
        assert {path.name: path.read_bytes() for path in source.glob("*.py")} == runbooks
    first, second = (ailing.project.folder / report).glob("remediation-*")
    for copy in (first, second):
        assert {path.name: path.read_bytes() for path in copy.glob("*.py")} == runbooks

"""The journal tells the whole run again, also when the run was killed or the disk was full."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
from pathlib import Path

import pytest
from pytest_runbook.errors import RunbookError, UsageError
from pytest_runbook.evidence import journal
from pytest_runbook.evidence.redaction import Redactor
from pytest_runbook.model import Attempt, Check, Measurement, Observation, Outcome, Result, RunRecord, Step, Waiver
from pytest_runbook.recorder import Recorder

AT = "2026-01-02T03:04:05.000Z"


def record() -> RunRecord:
    return RunRecord("run-1", "Shop", "production", AT, services={"web": ["database"], "database": []})


def result(name: str, outcome: str = "passed", service: str = "web") -> Result:
    check = Check(
        f"{service}/availability::{name}", name, "P1", service, ("daily",), subject="availability", runbook="web-down"
    )
    return Result(
        check,
        outcome,
        message="seen",
        started=AT,
        duration=0.5,
        attempts=[Attempt(outcome, "seen", AT, 0.5)],
        measurements=[Measurement("web.p95", 2.5, "s", 2.0, "<", False)],
        evidence=[Observation("web", "http://web", "GET /", AT, 0.1, ok=True, answer={"status": 200})],
        sections=[("printed", "x")],
    )


def finished(folder: Path) -> RunRecord:
    recorder = Recorder(record(), folder, Redactor(["hunter22"]), {"web-down": "Restart it.", "other": "No."})
    recorder.add(result("answers", "failed", "database"))
    recorder.add(result("health", "failed"))
    recorder.add(result("ready"))
    recorder.problem("mail kept: hunter22")
    recorder.diagnose()
    written = recorder.finish(1, interrupted=False)
    written.problems.append("the page was not written")
    recorder.close(known=1)
    return written


def test_the_journal_tells_the_same_run_as_the_record(tmp_path: Path) -> None:
    written = finished(tmp_path)
    told = journal.read(tmp_path / journal.NAME)
    told.results.sort(key=lambda r: r.check.id)
    written.results.sort(key=lambda r: r.check.id)
    assert told.to_json() == written.to_json()
    assert [r.outcome for r in told.results] == [Outcome.FAILED, Outcome.BLOCKED, Outcome.PASSED]
    assert told.runbooks == {"web-down": "Restart it."}


def test_secrets_do_not_reach_the_file(tmp_path: Path) -> None:
    finished(tmp_path)
    text = (tmp_path / journal.NAME).read_text()
    assert "hunter22" not in text
    assert "mail kept: ****" in text


@pytest.mark.parametrize(
    "said", ["hunter22", 'hun"ter\\22', "schema", "result", 'token: "abcdefgh"', "100 % \u00fc", "half \ud83d"]
)
def test_a_result_that_holds_secrets_anywhere_stays_a_record_without_them(tmp_path: Path, said: str) -> None:
    secrets = ["hunter22", 'hun"ter\\22', "schema", "result", "abcdefgh"]
    recorder = Recorder(record(), tmp_path, Redactor(secrets), {})
    told = result("health")
    told.message, told.evidence[0].answer = f"saw {said}", {said: [said]}

    recorder.add(told)
    recorder.close(known=0)

    read = journal.read(recorder.journal.path).results[0]
    assert read.message == Redactor(secrets).text(f"saw {said}")
    assert not any(secret in str(read.evidence[0].answer) for secret in secrets)
    assert read.check.id == told.check.id


def test_a_killed_run_is_told_as_unfinished_up_to_its_last_whole_line(tmp_path: Path) -> None:
    recorder = Recorder(record(), tmp_path, Redactor(), {})
    recorder.add(result("health"))
    recorder.journal.close()
    with recorder.journal.path.open("a") as file:
        file.write('{"schema": 1, "type": "resu')
    told = journal.read(recorder.journal.path)
    assert told.finished is None
    assert [r.check.title for r in told.results] == ["health"]


def test_a_damaged_line_in_the_middle_is_an_error_that_names_it(tmp_path: Path) -> None:
    finished(tmp_path)
    path = tmp_path / journal.NAME
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([lines[0], "not json\n", *lines[1:]]))
    with pytest.raises(RunbookError, match=r'line 2 of ".*journal.jsonl" is not JSON'):
        journal.read(path)


def test_a_later_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / journal.NAME
    path.write_text(json.dumps({"schema": 99, "type": "run-started", "run": {}}) + "\n")
    with pytest.raises(RunbookError, match="schema 99"):
        journal.read(path)


def test_a_file_that_is_no_journal_is_refused(tmp_path: Path) -> None:
    path = tmp_path / journal.NAME
    path.write_text("")
    with pytest.raises(RunbookError, match="is not the journal of a run"):
        journal.read(path)


def test_a_full_disk_is_a_problem_of_the_run_and_not_its_end(tmp_path: Path) -> None:
    recorder = Recorder(record(), tmp_path, Redactor(), {})
    recorder.journal.close()
    # Closing fails as well: what was buffered still does not fit.
    with contextlib.suppress(OSError), Path("/dev/full").open("a") as full:
        recorder.journal._file = full
        recorder.add(result("health"))
        recorder.diagnose()
        written = recorder.finish(0, interrupted=False)
    assert [r.check.title for r in written.results] == ["health"]
    assert any("No space left on device" in problem for problem in written.problems)
    assert written.exit_code == 1


def test_a_check_that_was_treated_is_told_once_and_as_it_was_at_last(tmp_path: Path) -> None:
    recorder = Recorder(record(), tmp_path, Redactor(), {"web-down": "Restart it."})
    recorder.add(result("answers", "failed", "database"))
    recorder.add(result("health", "failed"))
    recorder.diagnose()
    treated = recorder.record.results[0]
    step = Step("web-down", "mend", "Restart it", "correct", "restart", "done", "", AT, 1.5, "database", ["x"], "said")
    recorder.journal.write("intent", intent=1, checks=[treated.check.id], step=step.to_json())
    recorder.journal.write("step", checks=[treated.check.id], step=step.to_json())
    recorder.journal.write("verification", step="mend", verified=True, looks=1, failing=[])
    for number in (2, 3):  # amended more than once, as when it recurred and then was treated
        again = result("answers", "passed", "database")
        treated.attempts += [Attempt("passed", "", AT, 0.1, number)]
        treated.evidence += again.evidence
        treated.measurements = again.measurements
        treated.outcome, treated.steps, treated.remediation = (
            Outcome.REMEDIATED,
            [step],
            'remediated: "Restart it" fixed it',
        )
        recorder.amend(treated)
    recorder.diagnose()
    written = recorder.finish(0, interrupted=False)
    recorder.close(known=0)

    told = journal.read(recorder.journal.path)

    assert told.to_json() == written.to_json()
    first = told.results[0]
    assert [len(first.attempts), len(first.evidence), len(first.measurements)] == [3, 3, 1]
    assert (first.outcome, first.steps) == (Outcome.REMEDIATED, [step])


def test_a_kill_while_a_treated_check_is_written_leaves_it_as_it_was(tmp_path: Path) -> None:
    recorder = Recorder(record(), tmp_path, Redactor(), {})
    failed = result("health", "failed")
    recorder.add(failed)
    before = failed.to_json()
    failed.outcome = Outcome.REMEDIATED
    failed.attempts += [Attempt("passed", "", AT, 0.1, 2)]
    recorder.amend(failed)
    recorder.journal.close()
    path = recorder.journal.path
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))

    assert [r.to_json() for r in journal.read(path).results] == [before]


def test_a_waived_result_keeps_who_waived_it(tmp_path: Path) -> None:
    recorder = Recorder(record(), tmp_path, Redactor(), {})
    waived = result("health", "waived")
    waived.waiver = Waiver("waiver", "ann", "known", AT)
    recorder.add(waived)
    recorder.finish(0, interrupted=False)
    recorder.close(known=0)
    assert journal.read(recorder.journal.path).results[0].waiver == waived.waiver


def test_one_folder_has_one_run_at_a_time(tmp_path: Path) -> None:
    first = Recorder(record(), tmp_path, Redactor(), {})
    with first.journal.path.open("a") as file:
        file.write('{"half a line, as it is being written')
    before = first.journal.path.read_text()
    with pytest.raises(UsageError, match=f'another run writes its journal and reports in "{tmp_path}"\n  hint: wait'):
        Recorder(record(), tmp_path, Redactor(), {})
    assert first.journal.path.read_text() == before
    first.close(known=0)
    Recorder(record(), tmp_path, Redactor(), {}).close(known=0)


def test_where_there_are_no_locks_a_run_writes_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(_file: object, _how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    written = finished(tmp_path)
    assert journal.read(tmp_path / journal.NAME).exit_code == written.exit_code == 1

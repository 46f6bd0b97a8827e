"""The runs probe on records as runs write them, and on what is left of runs that were killed."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pytest_runbook.errors import Unmeasured
from pytest_runbook.evidence.context import Notebook
from pytest_runbook.model import Check, Outcome, Result, RunRecord
from pytest_runbook.probes.runs import Ratio, Runs, RunsSettings
from runbook_reports import record as renderer

from tests.probes.sites import run

UP = "web/availability::health_endpoint_answers"
DAY = 86_400.0


def ago(days: float) -> datetime:
    return datetime.now(UTC) - timedelta(days=days)


def name(days: float) -> str:
    return f"{ago(days):%Y%m%dT%H%M%SZ}-{os.urandom(2).hex()}"


def result(check_id: str, outcome: str) -> Result:
    check = Check(check_id, "It answers.", "P1", "web", ("daily",), "availability")
    return Result(check, outcome)


def kept(folder: Path, days: float, outcome: str | None = Outcome.PASSED, **fields: Any) -> Path:
    """A run of DAYS ago, written as reports write it, in which the check had OUTCOME (None: was not selected)."""
    own = folder / name(days)
    own.mkdir(parents=True)
    results = [result("other/availability::up", Outcome.FAILED)]
    if outcome:
        results.append(result(UP, outcome))
    values = {"environment": "production", "finished": "2026-11-22T18:03:09.320Z", **fields}
    record = RunRecord(own.name, "shop", started=ago(days).isoformat(), results=results, **values)
    renderer.render(record, own)
    return own / "run.json"


def runs(folder: Path, **settings: Any) -> Runs:
    return Runs("runs", RunsSettings.model_validate({"kind": "runs", "folder": folder, **settings}))


def ratio(folder: Path, days: float = 30, environment: str | None = None, **settings: Any) -> Ratio:
    return run(runs(folder, **settings).ratio(UP, days, environment))


def test_runs_in_which_the_check_passed_are_counted(tmp_path: Path) -> None:
    for days in range(1, 10):
        kept(tmp_path, days, Outcome.FAILED if days == 4 else Outcome.PASSED)
    kept(tmp_path, 2.5, None)
    kept(tmp_path, 31, Outcome.FAILED)
    seen = ratio(tmp_path)
    assert (seen.passed, seen.total, seen.unknown) == (8, 9, 0)
    assert seen.value == pytest.approx(8 / 9)
    assert abs(seen.since - ago(9)) < timedelta(seconds=10)


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Outcome.PASSED, (1, 1, 0)),
        (Outcome.FAILED, (0, 1, 0)),
        (Outcome.TIMED_OUT, (0, 1, 0)),
        (Outcome.BLOCKED, (0, 1, 0)),
        (Outcome.REMEDIATED, (0, 1, 0)),
        (Outcome.STILL_FAILING, (0, 1, 0)),
        (Outcome.UNMEASURED, (0, 0, 1)),
        (Outcome.SKIPPED, (0, 0, 1)),
        (Outcome.WAIVED, (0, 0, 1)),
        ("of-a-later-version", (0, 0, 1)),
    ],
)
def test_each_outcome_counts_as_what_users_met(tmp_path: Path, outcome: str, expected: tuple[int, int, int]) -> None:
    kept(tmp_path, 1, outcome)
    seen = ratio(tmp_path)
    assert (seen.passed, seen.total, seen.unknown) == expected


def test_runs_that_were_cut_short_or_are_broken_are_unknown(tmp_path: Path) -> None:
    kept(tmp_path, 1)
    kept(tmp_path, 2, None, finished=None)
    kept(tmp_path, 3, None, interrupted=True)
    kept(tmp_path, 4, finished=None)  # the check itself had ended
    for days, content in enumerate([b"", b"{", b"[]", b'"' + UP.encode() + b'"', b"\xff\xfe"], 5):
        kept(tmp_path, days).write_bytes(content)
    halved = kept(tmp_path, 12)
    halved.write_bytes(halved.read_bytes()[: halved.stat().st_size // 2])
    large = kept(tmp_path, 13)
    large.write_bytes(large.read_bytes() + b" " * 2_000_000)
    seen = ratio(tmp_path, max_bytes=1_000_000)
    assert (seen.passed, seen.total, seen.unknown) == (2, 2, 9)


def test_a_killed_run_is_unknown_and_the_one_that_asks_does_not_count(tmp_path: Path) -> None:
    for days in (0.5, 0):
        folder = tmp_path / name(days)
        folder.mkdir()
        journal = folder / "journal.jsonl"
        journal.write_text('{"kind": "run-started"}\n')
        moment = ago(days).timestamp()
        os.utime(journal, (moment, moment))
    (tmp_path / "not a run").mkdir()
    (tmp_path / "notes.txt").touch()
    assert (ratio(tmp_path).total, ratio(tmp_path).unknown) == (0, 1)


def test_only_so_many_runs_are_read_and_the_answer_says_how_far_back(tmp_path: Path) -> None:
    for days in range(1, 20):
        kept(tmp_path, days)
    seen = ratio(tmp_path, max_runs=5)
    assert seen.total == 5
    assert abs(seen.since - ago(5)) < timedelta(seconds=10)


def test_runs_of_another_environment_can_be_left_out(tmp_path: Path) -> None:
    kept(tmp_path, 1, environment="staging")
    kept(tmp_path, 2, Outcome.FAILED)
    assert (ratio(tmp_path).passed, ratio(tmp_path).total) == (1, 2)
    assert (ratio(tmp_path, environment="production").passed, ratio(tmp_path, environment="production").total) == (0, 1)


def test_before_the_first_run_there_is_no_ratio(tmp_path: Path) -> None:
    seen = ratio(tmp_path)
    assert (seen.passed, seen.total, seen.unknown) == (0, 0, 0)
    with pytest.raises(Unmeasured, match=r"no run since .* tells \(0 unknown\)"):
        _ = seen.value


def test_a_folder_that_is_not_there_is_no_month_without_a_failure(tmp_path: Path) -> None:
    with pytest.raises(Unmeasured, match=f'"{tmp_path}/lost" does not exist: runs are recorded elsewhere') as raised:
        ratio(tmp_path / "lost")
    assert str(raised.value).endswith("hint: let probes.runs.folder be the folder that report.directory names")


def test_a_folder_that_is_none_is_unmeasured(tmp_path: Path) -> None:
    (tmp_path / "runs").touch()
    with pytest.raises(Unmeasured, match=f'"{tmp_path}/runs" cannot be read: not a directory'):
        ratio(tmp_path / "runs")


def test_the_ratio_is_evidence(tmp_path: Path) -> None:
    kept(tmp_path, 1)
    notebook = Notebook("one")
    run(runs(tmp_path).ratio(UP, 30), notebook)
    [seen] = notebook.observations
    assert seen.operation == f"runs of {UP} in the last 30 days"
    assert (seen.answer["passed"], seen.answer["total"]) == (1, 1)
    json.dumps(seen.answer)

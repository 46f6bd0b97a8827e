"""The terminal summary: calm, complete, grouped by root cause, safe to show, with a last line for a chat."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_runbook.model import Outcome, Result, RunRecord
from runbook_reports import text
from runbook_reports.story import Story

from tests.reports.treated import TREATED, planned, remediated, still_failing

Golden = Callable[[str, str], None]


def test_the_summary_of_each_scenario_reads_as_agreed(scenario: str, record: RunRecord, golden: Golden) -> None:
    golden(f"summary.{scenario}.txt", text.summary(record, width=100))


@pytest.mark.parametrize("treated", TREATED, ids=lambda function: function.__name__)
def test_what_runbooks_did_fits_eighty_columns(treated: Callable[[], RunRecord]) -> None:
    summary = text.summary(treated(), width=80)

    assert max(map(len, summary.splitlines()[:-1])) <= 80


def test_what_was_remediated_is_never_plain_green() -> None:
    record = remediated()
    coloured = text.summary(record, color=True)

    assert coloured.startswith("\x1b[1;33mREMEDIATED\x1b[0m")
    assert "PASSED" not in coloured
    assert text.line(record) == (
        "NightScan production · daily · REMEDIATED · cache/queue::is_short: fixed by Restart the worker (queue-too-long) "
        "after 31.0 s, 1 look · 8 remediated · 11 checks in 32.0 s · run 20261122T180305Z-4f1c"
    )


def test_a_remediated_run_that_strict_fails_says_so() -> None:
    record = remediated()
    record.exit_code = 1
    record.reasons = ["--strict: 8 checks had to be fixed", "1 failure outside of checks"]

    assert Story(record).verdict == "REMEDIATED"
    assert f"is not green all the same: {'; '.join(record.reasons)}" in " ".join(text.summary(record).split())


def test_steps_that_several_checks_share_are_told_once() -> None:
    summary = text.summary(still_failing())

    assert summary.count("Promote the standby") == 1
    assert "steps      as above, for database/availability::answers" in summary


def test_a_plan_names_the_exact_actions() -> None:
    summary = text.summary(planned(), width=250)

    assert "tail -n 50 /srv/database/server.log (on host)\n" in summary
    assert "make_interval(secs => %s)  with 600\n" in summary
    assert "2 of 4 steps would run" in summary
    assert "2 steps would run" in text.line(planned())


@pytest.mark.parametrize("width", [40, 60, 200])
def test_the_summary_fits_the_screen(ill: RunRecord, golden: Golden, width: int) -> None:
    summary = text.summary(ill, width=width)

    golden(f"summary.ill.{width}.txt", summary)
    assert max(map(len, summary.splitlines()[:-1])) <= width


def test_the_last_line_is_the_run_in_one_line(ill: RunRecord) -> None:
    assert text.summary(ill).splitlines()[-1] == text.line(ill)
    assert text.line(ill) == (
        "NightScan production · daily · FAILED P1 · database/availability::answers: connection refused: 10.0.0.5:5432 "
        "(blocks 9) · +2 P2 · +1 P3 · 1 remediated · 1 waived · 36 checks in 4.2 s · run 20261122T180305Z-4f1c"
    )


def test_colours_are_added_only_when_wanted_and_change_no_word(ill: RunRecord) -> None:
    coloured = text.summary(ill, width=100, color=True)

    assert "\x1b[1;31m" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == text.summary(ill, width=100)


def test_a_terminal_without_unicode_gets_ascii(ill: RunRecord) -> None:
    summary = text.summary(ill, plain=True)

    assert summary.isascii()
    assert "NightScan production - daily" in summary


def test_what_a_target_answered_cannot_drive_the_terminal(hostile: RunRecord) -> None:
    summary = text.summary(hostile)

    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]", summary)
    assert "<script>alert('seen')</script> red" in summary


def test_every_bad_check_is_named_or_counted_under_exactly_one_cause(record: RunRecord) -> None:
    causes = Story(record).causes

    told = [result.check.id for cause in causes for result in cause.bad]
    assert sorted(told) == sorted(r.check.id for r in record.results if Outcome(r.outcome).bad)


def test_blocked_checks_that_name_each_other_are_not_lost(new_result: Callable[..., Result]) -> None:
    first = new_result("a/b::first", Outcome.BLOCKED, root="a/b::second")
    second = new_result("a/b::second", Outcome.BLOCKED, root="a/b::first")
    record = RunRecord("id", "x", "y", "2026-11-22T18:03:05Z", results=[first, second], finished="2026-11-22T18:03:05Z")

    told = {result.check.id for cause in Story(record).causes for result in cause.bad}
    assert told == {"a/b::first", "a/b::second"}


def test_hundreds_of_causes_are_counted_where_they_cannot_be_told(new_result: Callable[..., Result]) -> None:
    results = [new_result(f"web/s::check_{n:03}", Outcome.FAILED, "no", "P2") for n in range(300)]
    record = RunRecord("id", "x", "y", "2026-11-22T18:03:05Z", results=results, finished="2026-11-22T18:03:05Z")

    summary = text.summary(record)

    assert len(summary.splitlines()) < 250
    assert "and 230 more: the page has them all" in summary


def test_the_summary_is_also_a_file(ill: RunRecord, tmp_path: Path) -> None:
    (path,) = text.render(ill, tmp_path)

    assert path.read_text(encoding="utf-8") == text.summary(ill, width=100)

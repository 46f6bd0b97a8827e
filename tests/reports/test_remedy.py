"""One story of a check that was treated: attempt, steps, attempt, in the order in which they happened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from pytest_runbook.model import Attempt, Outcome, Result, RunRecord
from runbook_reports import remedy
from runbook_reports.story import Story

from tests.reports.treated import ROOT, TREATED, ladder, looks, planned, remediated, step, still_failing, worse


def result(record: RunRecord, name: str) -> Result:
    return next(one for one in record.results if one.check.id == name)


def told(one: Result) -> list[str]:
    return [part.outcome if isinstance(part, Attempt) else part.title.split()[0] for part in remedy.course(one)]


def test_the_course_is_attempt_steps_attempt() -> None:
    assert told(result(remediated(), ROOT)) == [
        *("failed", "failed"),
        *("Look", "Remove", "Reload", "failed"),
        *("Start", "passed", "passed", "passed"),
    ]


def test_a_step_that_was_refused_stands_where_it_was_its_turn() -> None:
    assert told(result(still_failing(), ROOT)) == [
        *("failed", "failed"),
        *("Look", "Remove", "Reload", "failed"),
        *("Start", "failed", "failed", "failed"),
        *("Run", "failed", "failed"),
        "Promote",
    ]


def test_a_plan_comes_after_what_was_seen() -> None:
    assert told(planned().results[0]) == ["failed", "Look", "Remove", "End", "Restart"]


@pytest.mark.parametrize("treated", TREATED, ids=lambda function: function.__name__)
def test_nothing_of_the_course_is_lost_or_changes_places(treated: Callable[[], RunRecord]) -> None:
    for one in treated().results:
        parts = list(remedy.course(one))
        assert [part for part in parts if isinstance(part, Attempt)] == one.attempts
        assert [part for part in parts if not isinstance(part, Attempt)] == one.steps
        assert sum(number for _, number in remedy.runs(one)) == len(parts)


def test_clocks_that_go_back_lose_nothing(new_result: Callable[..., Result]) -> None:
    tried = looks((9, Outcome.FAILED), (3, Outcome.FAILED), (1, Outcome.PASSED))
    one = new_result("a/b::c", Outcome.REMEDIATED, attempts=tried, steps=ladder())

    assert len(list(remedy.course(one))) == 7


def test_many_equal_looks_are_one_line() -> None:
    parts = [(getattr(part, "outcome", ""), number) for part, number in remedy.runs(result(remediated(), ROOT))]

    assert parts[0] == ("failed", 2)
    assert parts[-1] == ("passed", 3)


def test_a_plan_counts_what_would_run() -> None:
    one = planned().results[0]

    assert remedy.upshot(one) == "a plan, nothing was done: 2 of 4 steps would run"
    one.steps = one.steps[:1]
    assert remedy.upshot(one) == "a plan, nothing was done: 1 step would run"


def test_the_fix_is_the_last_step_that_acted() -> None:
    one = result(remediated(), ROOT)

    assert remedy.fixed_by(one) == "Start the server (database-down) after 13.0 s, 3 looks"
    one.steps.append(step("Promote the standby", "destructive", "refused", why="no"))
    assert remedy.fixed_by(one).startswith("Start the server")


def test_what_another_runbook_helped_has_no_fix_of_its_own() -> None:
    one = result(remediated(), "web/pages::page_1_is_served")

    assert remedy.fix(one) is None
    assert remedy.upshot(one) == "passes again since database-down ran"


def test_what_still_fails_was_fixed_by_nothing() -> None:
    assert remedy.fixed_by(result(still_failing(), ROOT)) == ""


def test_taking_back_has_words_of_its_own() -> None:
    steps = result(worse(), "database/capacity::disk_has_room").steps

    assert [remedy.ending(one) for one in steps] == ["done", "done", "undone", "undo failed"]
    assert remedy.described(steps[-1]) == "Empty the archive (routine, 100 ms): exit status 1"


def test_a_repeat_offender_counts_more() -> None:
    one = result(still_failing(), ROOT)

    assert one.check.severity == "P2"
    assert remedy.recurred(one) == "database-down fixed it 2 h ago: counts as P1"


def test_what_is_critical_anyway_cannot_count_more() -> None:
    one = result(still_failing(), ROOT)
    one.check = replace(one.check, severity="P1")

    assert remedy.recurred(one) == "database-down fixed it 2 h ago"


def test_checks_that_the_same_steps_fixed_are_one_group() -> None:
    groups = [[one.check.id for one in group] for group in Story(remediated()).mended]

    assert groups == [
        ["cache/queue::is_short"],
        ["database/availability::accepts_writes", ROOT],
        [f"web/pages::page_{n}_is_served" for n in range(1, 6)],
    ]

"""A run of the checks is judged against the one before the change: good, worse, or not to be told."""

from __future__ import annotations

import pytest
from pytest_runbook.deploy.verdict import baseline, judge, worse
from pytest_runbook.diagnosis import diagnose
from pytest_runbook.model import Check, Measurement, Outcome, Result, RunRecord
from pytest_runbook.settings.deploy import Relative


def result(name: str, outcome: Outcome = Outcome.PASSED, root: str | None = None, **figures: float) -> Result:
    check = Check(f"web/{name}", name, "P1", "web", ("postdeploy",))
    seen = [Measurement(figure, value, "s") for figure, value in figures.items()]
    return Result(check, outcome, f"{name} was seen", measurements=seen, root=root and f"web/{root}")


def record(*results: Result, code: int | None = None) -> RunRecord:
    made = RunRecord("r", "Shop", "production", "2026-11-23T00:00:00Z", results=list(results))
    made.exit_code = int(bool(made.gating)) if code is None else code
    return made


FAILED, BLIND, BLOCKED = Outcome.FAILED, Outcome.UNMEASURED, Outcome.BLOCKED


@pytest.mark.parametrize(
    ("before", "now", "outcome", "said"),
    [
        ([result("page")], [result("page")], "done", "1 checks passed"),
        ([result("page")], [result("page", FAILED)], "failed", "web/page: page was seen"),
        ([result("page")], [result("page", BLIND)], "inconclusive", "could not look"),
        ([result("page", FAILED)], [result("page", FAILED)], "inconclusive", "failed before the change as well"),
        ([result("page", FAILED)], [result("page")], "done", "1 checks passed"),
        ([], [result("page", BLIND), result("log", FAILED)], "failed", "web/log"),
        ([], [result("base", BLIND), result("page", BLOCKED, "base")], "inconclusive", "web/base"),
        ([], [result("base", FAILED), result("page", BLOCKED, "base")], "failed", "web/base: base was seen"),
    ],
)
def test_failure_counts_when_it_is_new(before: list[Result], now: list[Result], outcome: str, said: str) -> None:
    seen = judge(record(*now), baseline(record(*before)), {})
    assert seen.outcome == outcome
    assert said in seen.said


def test_failure_that_was_seen_goes_back_whoever_else_could_not_look() -> None:
    cache = Check("cache/availability::answers", "answers", "P1", "cache", ("postdeploy",), subject="availability")
    web = Check("web/availability::page_opens", "page opens", "P1", "web", ("postdeploy",), subject="availability")
    made = record(Result(cache, BLIND, "no password"), Result(web, FAILED, "/ answered 500"))
    assert diagnose(made.results, {"cache": [], "web": ["cache"]}) == []
    seen = judge(made, baseline(record()), {})
    assert (seen.outcome, seen.said) == ("failed", "web/availability::page_opens: / answered 500")


def test_version_before_need_not_be_better_than_it_was() -> None:
    ill = record(result("page", FAILED), result("log"))
    seen = judge(ill, baseline(ill), {}, back=True)
    assert (seen.outcome, seen.said) == ("done", "1 checks passed, 1 fail as before")


@pytest.mark.parametrize("code", [2, 3, 4, 5])
def test_run_that_judged_nothing_is_never_good(code: int) -> None:
    assert judge(record(result("page"), code=code), None, {}).outcome == "inconclusive"


def test_figure_that_is_not_measured_any_more_leaves_the_answer_open() -> None:
    compare = {"time": Relative(ratio=2.0, floor=0.1)}
    seen = judge(record(result("page")), baseline(record(result("page", time=0.02))), compare)
    assert (seen.outcome, seen.said) == ("inconclusive", "time was measured before and is not now")


def test_run_that_failed_without_a_check_is_never_good() -> None:
    made = record(result("page"), code=1)
    made.problems = ["a test that is no check failed"]
    assert judge(made, None, {}).said == "the run itself failed: a test that is no check failed"


@pytest.mark.parametrize(
    ("was", "now", "bad"),
    [(0.2, 0.39, False), (0.2, 0.41, True), (0.001, 0.09, False), (0.001, 0.11, True), (0.0, 0.2, True)],
)
def test_figure_may_rise_to_its_ratio_or_to_the_floor(was: float, now: float, bad: bool) -> None:
    found = worse({"t": now}, {"t": was}, {"t": "s"}, {"t": Relative(ratio=2.0, floor=0.1)})
    assert bool(found) == bad


def test_figure_that_should_be_high_may_fall_to_its_share() -> None:
    limit = {"accuracy": Relative(ratio=0.98)}
    assert worse({"accuracy": 0.97}, {"accuracy": 0.98}, {}, limit) == []
    assert worse({"accuracy": 0.9}, {"accuracy": 0.98}, {"accuracy": "ratio"}, limit) == [
        "accuracy is 90 %, before it was 98 %"
    ]


def test_figure_that_got_worse_is_told_with_both_values() -> None:
    before = baseline(record(result("page", time=0.02)))
    seen = judge(record(result("page", time=0.4)), before, {"time": Relative(ratio=2.0, floor=0.1)})
    assert (seen.outcome, seen.said) == ("failed", "time is 400 ms, before it was 20 ms")

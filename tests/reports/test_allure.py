"""Allure results: one story per check, with levels, labels, steps, attachments, and what Allure shows around them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attr
import pytest
from allure_commons import model2
from pytest_runbook.model import Outcome, Result, RunRecord
from runbook_reports import allure, itself
from runbook_reports.allure.folder import CATEGORIES, fill

from tests.reports.treated import ROOT, planned, remediated, still_failing, worse


def test_every_result_of_each_scenario_is_one_allure_result(record: RunRecord, tmp_path: Path) -> None:
    allure.render(record, tmp_path)

    results = _results(tmp_path / "allure-results")
    assert len(results) == len(itself.results(record))
    known = {field.name for field in attr.fields(model2.TestResult)}
    for result in results.values():
        assert set(result) <= known
        assert result["stop"] >= result["start"] > 1e12
        assert all((tmp_path / "allure-results" / item["source"]).is_file() for item in result.get("attachments", []))


def test_half_of_the_results_are_not_left_behind(ill: RunRecord, tmp_path: Path) -> None:
    (tmp_path / "allurerc.json").mkdir()

    with pytest.raises(IsADirectoryError):
        allure.render(ill, tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["allurerc.json"]


def test_severity_service_and_subject_are_where_allure_looks_for_them(ill: RunRecord, tmp_path: Path) -> None:
    result = _result(ill, tmp_path, "web/performance::p95_response_time")

    labels = [(label["name"], label["value"]) for label in result["labels"]]
    assert {
        ("severity", "critical"),
        ("epic", "NightScan"),
        ("feature", "web"),
        ("story", "performance"),
        ("parentSuite", "NightScan"),
        ("suite", "web"),
        ("subSuite", "performance"),
        ("tag", "daily"),
        ("tag", "P2"),
    } <= set(labels)
    assert result["links"] == [
        {"type": "link", "url": "https://runbooks.nightscan.example/web-slow", "name": "runbook web-slow"}
    ]
    assert result["parameters"] == [
        {"name": "web.response_time.p95", "value": "2.31 s (limit < 2 s)", "excluded": True},
        {"name": "web.response_time.p50", "value": "0.412 s", "excluded": True},
    ]
    assert "| web.response\\_time.p95 | 2.31 s | &lt; 2 s | **beyond** |" in result["description"]
    assert result["statusDetails"]["message"] == "web.response_time.p95 2.31 s, limit < 2 s"


@pytest.mark.parametrize(
    ("outcome", "status", "category"),
    [
        (Outcome.PASSED, "passed", None),
        (Outcome.REMEDIATED, "passed", "Remediated"),
        (Outcome.FAILED, "failed", "Failed"),
        (Outcome.STILL_FAILING, "failed", "Still failing after remediation"),
        (Outcome.UNMEASURED, "broken", "Could not be measured"),
        (Outcome.TIMED_OUT, "broken", "Timed out"),
        (Outcome.BLOCKED, "broken", "Blocked by another failure"),
        (Outcome.SKIPPED, "skipped", "Skipped"),
    ],
)
def test_each_outcome_has_its_status_and_category(
    new_result: Callable[..., Result],
    new_record: Callable[..., RunRecord],
    tmp_path: Path,
    outcome: Outcome,
    status: str,
    category: str | None,
) -> None:
    root = "web/availability::other" if outcome == Outcome.BLOCKED else None
    record = new_record(new_result("web/availability::answers", outcome, "seen\nin two lines", root=root))

    result = _result(record, tmp_path, "web/availability::answers")

    assert result["status"] == status
    assert _category(tmp_path, result) == category


def test_a_waived_failure_says_who_accepted_it(ill: RunRecord, tmp_path: Path) -> None:
    result = _result(ill, tmp_path, "web/certificate::is_valid_for_30_days")

    assert result["status"] == "skipped"
    assert result["statusDetails"]["message"].startswith("waived by ops@nightscan.example until 2026-12-01")
    assert _category(tmp_path, result) == "Waived"


def test_attempts_and_steps_are_one_story(ill: RunRecord, tmp_path: Path) -> None:
    result = _result(ill, tmp_path, "cache/queue::is_short")

    assert result["status"] == "passed"
    assert [(step["name"], step["status"]) for step in result["steps"]] == [
        ("attempt 1: failed", "failed"),
        ("done: Look at the queue", "passed"),
        ("done: Restart the worker", "passed"),
        ("attempt 2: passed", "passed"),
        ("attempt 3: passed", "passed"),
        ("what the probes saw", "passed"),
    ]


def test_what_was_remediated_is_passed_and_marked(tmp_path: Path) -> None:
    result = _result(remediated(), tmp_path, "cache/queue::is_short")

    assert result["status"] == "passed"
    assert result["statusDetails"]["flaky"] is True
    assert result["statusDetails"]["message"].splitlines() == [
        "remediated: queue.length 212, limit < 100",
        "fixed by Restart the worker (queue-too-long) after 31.0 s, 1 look",
        "queue-too-long fixed it 3 h 5 min ago, and it fails again: counts as P1",
    ]
    assert _category(tmp_path, result) == "Remediated"
    assert {"remediated", "recurred", "P1"} <= {label["value"] for label in result["labels"] if label["name"] == "tag"}
    assert "**Fixed by** Restart the worker" in result["description"]


def test_a_check_that_simply_passes_has_no_mark(green: RunRecord, tmp_path: Path) -> None:
    allure.render(green, tmp_path)

    assert not any("statusDetails" in result for result in _results(tmp_path / "allure-results").values())


def test_steps_that_did_not_help_are_told_in_their_order(tmp_path: Path) -> None:
    result = _result(still_failing(), tmp_path, ROOT)

    assert result["status"] == "failed"
    assert _category(tmp_path, result) == "Still failing after remediation"
    assert [(step["name"], step["status"]) for step in result["steps"] if "attempt" not in step["name"]] == [
        ("done: Look at the end of the server's log", "passed"),
        ("not-needed: Remove the stale lock file", "skipped"),
        ("failed: Reload the configuration", "failed"),
        ("done: Start the server", "passed"),
        ("timed-out: Run the recovery", "broken"),
        ("refused: Promote the standby", "skipped"),
        ("what the probes saw", "passed"),
    ]
    assert [step["name"] for step in result["steps"]][:6] == [
        *("attempt 1: failed", "attempt 2: failed", "done: Look at the end of the server's log"),
        *("not-needed: Remove the stale lock file", "failed: Reload the configuration", "attempt 3: failed"),
    ]


def test_a_step_says_what_it_does_why_it_ended_so_and_what_it_said(tmp_path: Path) -> None:
    result = _result(still_failing(), tmp_path, ROOT)

    step = next(step for step in result["steps"] if step["name"] == "failed: Reload the configuration")
    assert {item["name"]: item["value"] for item in step["parameters"]} == {
        "runbook": "database-down",
        "stage": "correct",
        "risk": "routine",
        "target": "database",
        "action 1": "pg_ctl reload -D /srv/database",
    }
    assert step["statusDetails"]["message"] == "exit status 1"
    assert step["stop"] - step["start"] == 300
    (attached,) = step["attachments"]
    assert "PID file does not exist" in (tmp_path / "allure-results" / attached["source"]).read_text()


def test_attachments_of_steps_and_of_the_result_are_files_of_their_own(tmp_path: Path) -> None:
    result = _result(still_failing(), tmp_path, ROOT)

    owners = [*result["steps"], result]
    files = [attached["source"] for owner in owners for attached in owner.get("attachments", [])]
    assert len(files) == len(set(files)) == 4
    assert all((tmp_path / "allure-results" / name).is_file() for name in files)


def test_a_plan_is_no_success_of_its_steps(tmp_path: Path) -> None:
    result = _result(planned(), tmp_path, "database/performance::no_forgotten_transaction")

    statuses = [step["status"] for step in result["steps"] if "attempt" not in step["name"]]
    assert statuses == ["skipped"] * 4 + ["passed"]
    assert "a plan, nothing was done: 2 of 4 steps would run" in result["statusDetails"]["message"]


def test_what_was_taken_back_is_a_step_too(tmp_path: Path) -> None:
    result = _result(worse(), tmp_path, "database/capacity::disk_has_room")

    assert [(step["name"], step["status"]) for step in result["steps"][-3:-1]] == [
        ("undone: Move the data", "passed"),
        ("undo failed: Empty the archive", "failed"),
    ]


def test_what_was_seen_is_attached_to_a_failure(ill: RunRecord, tmp_path: Path) -> None:
    result = _result(ill, tmp_path, "database/availability::answers")

    found = {item["name"]: (tmp_path / "allure-results" / item["source"]).read_text() for item in result["attachments"]}
    assert json.loads(found["evidence"])[0]["operation"] == "SELECT 1"
    assert "Unreachable: connection refused" in found["traceback"]
    assert "could not connect" in found["Captured log call"]


def test_a_check_keeps_its_history_when_everything_else_changes(ill: RunRecord, tmp_path: Path) -> None:
    name = "web/performance::p95_response_time"
    before = _result(ill, tmp_path / "one", name)
    ill.id, ill.environment = "20261123T180305Z-aaaa", "staging"
    after = _result(ill, tmp_path / "two", name)

    assert before["historyId"] == after["historyId"]
    assert before["uuid"] != after["uuid"]


def test_writing_again_replaces_what_was_there(ill: RunRecord, tmp_path: Path) -> None:
    allure.render(ill, tmp_path)
    allure.render(ill, tmp_path)

    assert len(_results(tmp_path / "allure-results")) == len(ill.results)


def test_nothing_foreign_becomes_markup(hostile: RunRecord, tmp_path: Path) -> None:
    allure.render(hostile, tmp_path)

    results = _results(tmp_path / "allure-results").values()
    assert results
    for result in results:
        assert "<script" not in result["description"]
        assert not result.get("links")


def test_the_environment_can_be_read_back(hostile: RunRecord, ill: RunRecord, tmp_path: Path) -> None:
    fill(tmp_path / "ill", ill, clean=True, environ={})
    fill(tmp_path / "hostile", hostile, clean=True, environ={})

    lines = (tmp_path / "ill" / "environment.properties").read_text(encoding="ascii").splitlines()
    assert "system = NightScan" in lines
    assert "pytest-runbook = 0.1.0" in lines
    assert len((tmp_path / "hostile" / "environment.properties").read_text(encoding="ascii").splitlines()) == 9


@pytest.mark.parametrize(
    ("environ", "executor"),
    [
        ({}, None),
        (
            {
                "GITHUB_ACTIONS": "true",
                "GITHUB_SERVER_URL": "https://github.com",
                "GITHUB_REPOSITORY": "team/nightscan",
                "GITHUB_RUN_ID": "77",
                "GITHUB_RUN_NUMBER": "12",
                "GITHUB_WORKFLOW": "gate",
            },
            ("GitHub Actions", "github", 12, "gate #12", "https://github.com/team/nightscan/actions/runs/77"),
        ),
        (
            {"GITLAB_CI": "true", "CI_JOB_URL": "https://gitlab/j/1", "CI_JOB_NAME": "gate", "CI_PIPELINE_IID": "5"},
            ("GitLab CI", "gitlab", 5, "gate #5", "https://gitlab/j/1"),
        ),
        (
            {"JENKINS_URL": "https://ci/", "BUILD_URL": "https://ci/3/", "JOB_NAME": "gate", "BUILD_NUMBER": "3"},
            ("Jenkins", "jenkins", 3, "gate #3", "https://ci/3/"),
        ),
    ],
    ids=["none", "github", "gitlab", "jenkins"],
)
def test_the_ci_system_is_named(
    ill: RunRecord, tmp_path: Path, environ: dict[str, str], executor: tuple[Any, ...] | None
) -> None:
    fill(tmp_path, ill, clean=False, environ=environ)

    path = tmp_path / "executor.json"
    assert path.exists() == (executor is not None)
    if executor:
        read = json.loads(path.read_text())
        assert tuple(read[key] for key in ("name", "type", "buildOrder", "buildName", "buildUrl")) == executor


def _results(folder: Path) -> dict[str, dict[str, Any]]:
    files = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*-result.json")]
    return {result["uuid"]: result for result in files}


def _result(record: RunRecord, folder: Path, name: str) -> dict[str, Any]:
    allure.render(record, folder)
    return next(result for result in _results(folder / "allure-results").values() if result["fullName"] == name)


def _category(folder: Path, result: dict[str, Any]) -> str | None:
    """The first of the written categories that fits RESULT, by Allure's rules."""
    written = json.loads((folder / "allure-results" / "categories.json").read_text())
    assert [category["name"] for category in written] == [name for name, _, _ in CATEGORIES]
    message = result.get("statusDetails", {}).get("message")
    for category in written:
        fits = message is not None and re.fullmatch(category["messageRegex"], message)
        if result["status"] in category["matchedStatuses"] and fits:
            return str(category["name"])
    return None

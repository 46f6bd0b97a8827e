"""The run as a case of its own: JUnit and Allure are never green for a run that is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from pytest_runbook.model import Outcome
from runbook_reports import allure, junit

from tests.reports.builders import make_record, make_result

UNREAD = "nobody knows where the checks would have looked"


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"exit_code": 2, "interrupted": True}, "INTERRUPTED: the run was interrupted; below is what was done before"),
        ({"exit_code": None, "finished": None}, "UNFINISHED: the run did not end; below is what was done before"),
        (
            {"exit_code": 1, "reasons": [UNREAD], "problems": ["system.json: no JSON"]},
            f"ERROR: no check that was judged is bad, and still the run ended with 1: {UNREAD}; system.json: no JSON",
        ),
        (
            {"exit_code": 3},
            "ERROR: no check that was judged is bad, and still the run ended with 3: see its problems",
        ),
    ],
    ids=["interrupted", "unfinished", "unread", "internal"],
)
def test_green_checks_of_a_run_that_is_not_green_are_not_all(
    tmp_path: Path, told: dict[str, Any], message: str
) -> None:
    record = make_record(make_result("web/availability::answers", Outcome.PASSED), **told)
    root = ElementTree.fromstring(junit.text(record))
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("2", "0", "1")
    error = root.find(".//testsuite[@name='run']/testcase[@name='is_whole']/error")
    assert error is not None
    assert error.get("message") == message

    allure.render(record, tmp_path)
    shown = [json.loads(path.read_text()) for path in (tmp_path / "allure-results").glob("*-result.json")]
    (itself,) = [one for one in shown if one["fullName"] == "run::is_whole"]
    assert (itself["status"], itself["statusDetails"]["message"]) == ("broken", f"unmeasured: {message}")


def test_what_else_is_wrong_with_a_run_stands_beside_what_fails() -> None:
    failed = make_result("web/availability::answers", Outcome.FAILED)
    record = make_record(failed, exit_code=1, reasons=["--strict: 2 checks had to be fixed"])
    error = ElementTree.fromstring(junit.text(record)).find(".//testcase[@name='is_whole']/error")
    assert error is not None
    assert error.get("message") == "FAILED P1: beside what fails: --strict: 2 checks had to be fixed"


@pytest.mark.parametrize(("outcome", "ended"), [(Outcome.PASSED, 0), (Outcome.FAILED, 1), (Outcome.REMEDIATED, 0)])
def test_a_run_that_its_checks_tell_of_is_no_case(outcome: Outcome, ended: int) -> None:
    record = make_record(make_result("web/availability::answers", outcome), exit_code=ended)
    assert ElementTree.fromstring(junit.text(record)).get("tests") == "1"

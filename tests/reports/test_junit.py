"""JUnit: valid, complete, and each outcome where a CI system looks for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
import xmlschema
from pytest_runbook.model import Outcome, RunRecord
from runbook_reports import junit

from tests.reports.treated import TREATED, remediated

SCHEMA = xmlschema.XMLSchema(Path(__file__).with_name("junit.xsd"))


def test_the_file_of_each_scenario_is_valid(record: RunRecord, tmp_path: Path) -> None:
    (path,) = junit.render(record, tmp_path)

    SCHEMA.validate(str(path))


def test_the_file_reads_as_agreed(ill: RunRecord, golden: Callable[[str, str], None]) -> None:
    golden("junit.ill.xml", _indented(junit.text(ill)))


@pytest.mark.parametrize("treated", TREATED, ids=lambda function: function.__name__)
def test_the_file_tells_what_runbooks_did(treated: Callable[[], RunRecord], golden: Callable[[str, str], None]) -> None:
    golden(f"junit.{treated.__name__}.xml", _indented(junit.text(treated())))


def test_what_was_remediated_is_a_passed_case_that_says_so() -> None:
    root = ElementTree.fromstring(junit.text(remediated()))

    case = root.find(".//testcase[@name='answers']")
    assert case is not None
    assert [child.tag for child in case] == ["properties", "system-out"]
    properties = {item.get("name"): item.get("value") for item in case.iter("property")}
    assert properties["outcome"] == "remediated"
    assert properties["fixed-by"] == "Start the server (database-down) after 13.0 s, 3 looks"
    assert properties["step:3"] == "failed: Reload the configuration (routine, 300 ms): exit status 1"
    assert (case.findtext("system-out") or "").splitlines()[-7:-1] == [
        "step done: Start the server (restart, 2.4 s)",
        "  service manager: start the service",
        "  | server started",
        "attempt 4: passed",
        "attempt 5: passed",
        "attempt 6: passed",
    ]


@pytest.mark.parametrize("outcome", Outcome)
def test_each_outcome_has_its_element(new_one: Callable[..., RunRecord], outcome: Outcome) -> None:
    root = ElementTree.fromstring(junit.text(new_one(outcome)))

    case = root.find("testsuite/testcase")
    assert case is not None
    verdicts = [child for child in case if child.tag in ("failure", "error", "skipped")]
    assert [(verdict.tag, verdict.get("type")) for verdict in verdicts] == {
        Outcome.PASSED: [],
        Outcome.REMEDIATED: [],
        Outcome.FAILED: [("failure", "failed")],
        Outcome.STILL_FAILING: [("failure", "still-failing")],
        Outcome.TIMED_OUT: [("failure", "timed-out")],
        Outcome.BLOCKED: [("failure", "blocked-by")],
        Outcome.UNMEASURED: [("error", "unmeasured")],
        Outcome.WAIVED: [("skipped", "waived")],
        Outcome.SKIPPED: [("skipped", "skipped")],
    }[outcome]


def test_the_counts_are_those_of_the_cases(ill: RunRecord) -> None:
    root = ElementTree.fromstring(junit.text(ill))

    for element in (root, *root.iter("testsuite")):
        assert element.get("tests") == str(len(list(element.iter("testcase"))))
        assert element.get("failures") == str(len(list(element.iter("failure"))))
        assert element.get("errors") == str(len(list(element.iter("error"))))


def test_a_case_says_what_the_check_is(ill: RunRecord) -> None:
    root = ElementTree.fromstring(junit.text(ill))

    case = root.find(".//testcase[@name='p95_response_time']")
    assert case is not None
    assert case.get("classname") == "web.performance"
    assert {item.get("name"): item.get("value") for item in case.iter("property")} == {
        "id": "web/performance::p95_response_time",
        "title": "95 of 100 visitors wait less than two seconds for the first page.",
        "outcome": "failed",
        "severity": "P2",
        "service": "web",
        "schedules": "postdeploy daily",
        "runbook": "web-slow",
        "started": "2026-11-22T18:03:05.120Z",
        "measurement:web.response_time.p95": "2.31 s, limit < 2 s",
        "measurement:web.response_time.p50": "0.412 s",
    }


def test_characters_that_xml_cannot_carry_are_replaced(hostile: RunRecord) -> None:
    root = ElementTree.fromstring(junit.text(hostile))

    failure = root.find(".//failure")
    assert failure is not None
    assert "<script>alert('seen')</script> red \ufffd\ufffd \ufffd" in failure.get("message", "")


def test_ten_thousand_results_take_little_time(large: RunRecord) -> None:
    begun = time.process_time()
    junit.text(large)
    assert time.process_time() - begun < 5


@pytest.fixture
def new_one(new_record: Callable[..., RunRecord], new_result: Callable[..., object]) -> Callable[..., RunRecord]:
    def build(outcome: Outcome) -> RunRecord:
        return new_record(new_result("web/availability::answers", outcome, "seen"))

    return build


def _indented(text: str) -> str:
    root = ElementTree.fromstring(text)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"

"""Writes `junit.xml`: one suite per service, for CI systems that know tests and not checks.

JUnit knows no check that failed, was fixed and passes: such a one is a passed case here, with the properties `outcome`
(`remediated`) and `fixed-by`, and with the course of attempts and steps in its output. A run that is not green for another
reason than its checks is a case of its own.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement, tostring

from pytest_runbook.model import Attempt, Observation, Outcome, Result, RunRecord, Step

from runbook_reports import itself, orders, remedy, wording
from runbook_reports.files import write
from runbook_reports.story import Story, what_was_seen

if TYPE_CHECKING:
    import pytest

    from runbook_reports import Writer

NAME = "junit"
FILE = "junit.xml"

ELEMENTS = {
    Outcome.FAILED: "failure",
    Outcome.STILL_FAILING: "failure",
    Outcome.TIMED_OUT: "failure",
    Outcome.BLOCKED: "failure",
    Outcome.UNMEASURED: "error",
    Outcome.WAIVED: "skipped",
    Outcome.SKIPPED: "skipped",
}
"""Outcome to the element that says it in JUnit; the others have passed."""
_LONGEST = 20_000
"""Characters of a text: CI systems hold the whole file in memory."""


def render(record: RunRecord, folder: Path) -> list[Path]:
    """Write RECORD to `FOLDER/junit.xml`."""
    return to_path(folder / FILE, record)


def to_path(path: Path, record: RunRecord) -> list[Path]:
    """Write RECORD to PATH."""
    return [write(path, text(record))]


def adopt(config: pytest.Config) -> Writer | None:
    """Write the file of `--junitxml` too."""
    path = orders.taken(config, "xmlpath")
    return partial(to_path, path) if path else None


def text(record: RunRecord) -> str:
    """RECORD as JUnit XML, in the form that pytest calls xunit2 and Jenkins junit-10."""
    suites: dict[str, list[Result]] = defaultdict(list)
    results = itself.results(record)
    for result in results:
        suites[result.check.service].append(result)
    root = Element("testsuites", name=wording.one_line(Story(record).title), time=_seconds(record.duration))
    _count(root, results)
    for name, some in suites.items():
        root.append(_suite(name, some, record))
    return '<?xml version="1.0" encoding="utf-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def _suite(name: str, results: list[Result], record: RunRecord) -> Element:
    suite = Element("testsuite", name=wording.one_line(name), hostname=wording.one_line(record.host))
    suite.set("time", _seconds(sum(result.duration for result in results)))
    suite.set("timestamp", min((r.started for r in results if r.started), default=record.started))
    _count(suite, results, skipped=True)
    facts = {"run": record.id, "system": record.system, "environment": record.environment}
    facts |= {"selection": record.selection, "gate": record.gate, "user": record.user}
    facts |= {"remediation": record.remediation}
    facts |= {f"version:{part}": version for part, version in record.versions.items()}
    _properties(suite, facts.items())
    suite.extend(map(_case, results))
    return suite


def _case(result: Result) -> Element:
    check = result.check
    classname = ".".join(filter(None, (check.service, check.subject)))
    case = Element(
        "testcase", classname=wording.one_line(classname), name=_name(result), time=_seconds(result.duration)
    )
    _properties(case, _facts(result))
    element = ELEMENTS.get(Outcome(result.outcome))
    if element:
        why = SubElement(case, element, type=result.outcome, message=wording.one_line(_why(result), 500))
        why.text = "\n".join(_told(result))
    if output := "\n".join(_output(result)):
        SubElement(case, "system-out").text = output
    return case


def _name(result: Result) -> str:
    """The last part of the id; service and subject are the class."""
    return wording.one_line(result.check.id.partition("::")[2] or result.check.id)


def _facts(result: Result) -> Iterator[tuple[str, str]]:
    check = result.check
    yield from (("id", check.id), ("title", check.title), ("outcome", result.outcome), ("severity", result.severity))
    yield from (("service", check.service), ("schedules", " ".join(check.schedules)), ("started", result.started))
    if check.runbook:
        yield "runbook", check.runbook
    if result.root:
        yield "root", result.root
    if result.waiver:
        yield "waiver", f"{result.waiver.owner}, until {result.waiver.expires}: {result.waiver.reason}"
    yield from _treatment(result)
    for seen in result.measurements:
        bound = f", limit {wording.limit(seen)}" if seen.limit is not None else ""
        yield f"measurement:{seen.name}", f"{wording.seen(seen)}{bound}"


def _treatment(result: Result) -> Iterator[tuple[str, str]]:
    """What its runbook did, as properties that are there only where something was to be done."""
    facts = {"remediation": result.remediation, "fixed-by": remedy.fixed_by(result), "recurred": result.recurred}
    facts |= {f"step:{n}": f"{remedy.ending(step)}: {remedy.described(step)}" for n, step in enumerate(result.steps, 1)}
    yield from ((name, value) for name, value in facts.items() if value)


def _why(result: Result) -> str:
    if result.waiver:
        return f"waived until {result.waiver.expires} by {result.waiver.owner}: {result.waiver.reason}"
    return f"blocked by {result.root}: {what_was_seen(result)}" if result.root else what_was_seen(result)


def _told(result: Result) -> Iterator[str]:
    """What a person reads on the page of the CI system: what was expected, what was seen, where to go on."""
    yield wording.safe(result.check.title)
    yield from (f"seen: {what_was_seen(result)}", f"outcome: {result.outcome}")
    yield from (f"{name}: {wording.one_line(said)}" for name, said in _treatment(result))
    yield from (f"measured: {wording.safe(wording.against_limit(measurement))}" for measurement in result.measurements)
    if result.check.runbook:
        yield f"runbook: {wording.one_line(result.check.runbook)}"
    if result.traceback:
        yield "\n" + wording.clipped(result.traceback, _LONGEST)


def _output(result: Result) -> Iterator[str]:
    """Attempts and steps where there were several, evidence of what is not green, and what the check printed."""
    if len(result.attempts) > 1 or result.steps:
        for part in remedy.course(result):
            yield from _tried(part) if isinstance(part, Attempt) else _done(part)
    if result.outcome != Outcome.PASSED:
        yield from (wording.clipped(_observed(seen), 2_000) for seen in result.evidence[:20])
    for title, content in result.sections:
        yield f"--- {wording.one_line(title)} ---\n{wording.clipped(content, _LONGEST)}"


def _tried(attempt: Attempt) -> Iterator[str]:
    yield f"attempt {attempt.number}: {attempt.outcome} {wording.one_line(attempt.message)}".rstrip()


def _done(step: Step) -> Iterator[str]:
    """A step with what it does and what it said."""
    yield f"step {remedy.ending(step)}: {remedy.described(step)}"
    yield from (f"  {wording.clipped(action, 2_000)}" for action in step.actions)
    if step.output:
        yield from (f"  | {line}" for line in wording.clipped(step.output, 4_000).splitlines())


def _observed(seen: Observation) -> str:
    answer = seen.error or json.dumps(seen.answer, default=str, ensure_ascii=False)
    return f"{seen.started} {seen.probe} {seen.target}: {seen.operation}: {answer}"


def _properties(parent: Element, facts: Iterable[tuple[str, str]]) -> None:
    properties = SubElement(parent, "properties")
    for name, value in facts:
        SubElement(properties, "property", name=wording.one_line(name), value=wording.one_line(value))


def _count(element: Element, results: list[Result], skipped: bool = False) -> None:
    kinds = [ELEMENTS.get(Outcome(result.outcome)) for result in results]
    element.set("tests", str(len(results)))
    element.set("failures", str(kinds.count("failure")))
    element.set("errors", str(kinds.count("error")))
    if skipped:
        element.set("skipped", str(kinds.count("skipped")))


def _seconds(duration: float) -> str:
    return f"{duration:.3f}"

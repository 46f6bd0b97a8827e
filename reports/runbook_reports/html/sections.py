"""The parts of the page around the table: the first screen, the checks without a row, the environment."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from html import escape
from pathlib import Path
from urllib.parse import quote

from pytest_runbook import clock
from pytest_runbook.model import Outcome, Result, RunRecord

from runbook_reports import wording
from runbook_reports.story import Story, what_was_seen
from runbook_reports.templates import templates

_HERE = Path(__file__).parent
TEMPLATES = templates(_HERE / "templates")
WHOLE = 20
"""So many causes are told in full on the first screen, the others by name."""


def story(told: Story, shown: Iterable[Result]) -> str:
    """The first screen: verdict, root causes, what could not be seen, what is waived, counts per service."""
    names = (wording.one_line(result.check.id) for result in shown)
    links = {name: "#" + quote(escape(name)) for name in names}
    return TEMPLATES.get_template("story.html").render(story=told, record=told.record, whole=WHOLE, links=links)


def rest(others: list[Result], shown: list[Result]) -> str:
    """The checks that have no row, as text per service, with a field to search them; and the page's script."""
    services: dict[str, list[str]] = defaultdict(list)
    for result in others:
        services[result.check.service].append(_line(result))
    script = (_HERE / "script.js").read_text(encoding="utf-8")
    return TEMPLATES.get_template("rest.html").render(
        services=services, number=len(others), shown=len(shown), script=script
    )


def environment(record: RunRecord) -> dict[str, str]:
    """What pytest-html shows as the environment; it puts values into the page as they are."""
    facts = {"Run": record.id, "Started": wording.moment(record.started), "Took": clock.duration(record.duration)}
    facts |= {"System": record.system, "Environment": record.environment, "Selection": record.selection}
    facts |= {
        "Gate": record.gate,
        "Host": record.host,
        "User": record.user,
        "Remediation": record.remediation,
    } | record.versions
    return {wording.one_line(name): escape(wording.one_line(value)) for name, value in facts.items() if value}


def _line(result: Result) -> str:
    seen = [wording.against_limit(m) for m in result.measurements] or [result.message]
    seen = seen if result.outcome == Outcome.PASSED else [what_was_seen(result)]
    said = "; ".join(filter(None, (wording.one_line(part) for part in seen)))
    title = wording.one_line(result.check.title)
    took = clock.duration(result.duration)
    return f"{result.outcome:<11} {result.severity} {took:>8}  {wording.one_line(result.check.id)}  {title}  {said}".rstrip()

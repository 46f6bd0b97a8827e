"""Says in a terminal, calmly and grouped by root cause, what is wrong, what the limit was and which runbook applies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pytest_runbook.model import Outcome, Result, RunRecord, Severity, StepOutcome

from runbook_reports import remedy, wording
from runbook_reports.files import write
from runbook_reports.layout import Paragraph, labelled, paragraph
from runbook_reports.story import Cause, Story, by_service, what_was_seen

NAME = "text"
FILE = "summary.txt"

_STYLES = {
    Severity.P1: "bold red",
    Severity.P2: "red",
    Severity.P3: "yellow",
    Outcome.PASSED: "green",
    Outcome.REMEDIATED: "bold yellow",
    Outcome.FAILED: "red",
    Outcome.STILL_FAILING: "red",
    Outcome.TIMED_OUT: "red",
    Outcome.UNMEASURED: "magenta",
    Outcome.BLOCKED: "yellow",
    Outcome.WAIVED: "cyan",
    Outcome.SKIPPED: "dim",
}
_LABELS = {
    "recurred": "bold yellow",
    "fixed by": "bold yellow",
    "failed": "red",
    "timed-out": "red",
    "unknown": "red",
    "undo failed": "red",
    "undo timed-out": "red",
    "refused": "yellow",
    "undo refused": "yellow",
    "would-run": "cyan",
}
"""Colours of labels that must not be overlooked."""
_FEW = 3
"""Up to so many are named; more are counted per service."""
_WHOLE, _NAMED = 20, 50
"""So many causes are told with every fact, so many more by name: the page has room for all, a terminal has not."""
_PLAIN = str.maketrans({"·": "-", "…": "...", "—": "-", "≤": "<=", "∞": "infinity", "\u202f": " ", "\ufffd": "?"})


def render(record: RunRecord, folder: Path) -> list[Path]:
    """Write the summary of RECORD, without colours, to `FOLDER/summary.txt`."""
    return [write(folder / FILE, text(record))]


def text(record: RunRecord) -> str:
    """The summary as a file or a mail holds it."""
    return summary(record, width=100)


def line(record: RunRecord) -> str:
    """RECORD in one line that a person can paste into a chat."""
    return Story(record).line()


def summary(record: RunRecord, width: int = 100, color: bool = False, plain: bool = False) -> str:
    """The run at WIDTH columns, with the chat line last; COLOR adds ANSI colours, PLAIN keeps to ASCII."""
    story, width = Story(record), max(width, 40)
    lines = [line for block in _blocks(story, width) for line in block.lines(width, color)]
    result = "\n".join((*lines, "", story.line())) + "\n"
    return result.translate(_PLAIN).encode("ascii", "replace").decode() if plain else result


def _blocks(story: Story, width: int) -> Iterator[Paragraph]:
    """The parts of the summary, top to bottom."""
    yield _head(story)
    if story.remark:
        yield paragraph((story.remark, "dim"))
    for cause in story.failing[:_WHOLE]:
        yield paragraph()
        yield from _cause(story, cause)
    if len(story.failing) > _WHOLE:
        yield _heading("also failing")
        yield from _list((cause, cause.message) for cause in story.failing[_WHOLE:])
    if story.unmeasured:
        yield _heading("not measured: neither known to be right nor known to be wrong")
        for cause in story.unmeasured[:_WHOLE]:
            yield from _cause(story, cause)
        yield from _list((cause, cause.message) for cause in story.unmeasured[_WHOLE:])
    if story.mended:
        yield _heading("remediated: failed, a runbook ran, the same check passes", "bold yellow")
        for results in story.mended[:_WHOLE]:
            yield from _mended(results)
        yield from _list((results[0], _passes_again(results)) for results in story.mended[_WHOLE:])
    if waived := story.record.of(Outcome.WAIVED):
        yield _heading("waived")
        yield from _list((result, _waiver(result)) for result in waived)
    if story.record.problems:
        yield _heading("problems of the run itself")
        yield from (_indented(problem) for problem in story.record.problems)
    yield _counts(story, width)


def _head(story: Story) -> Paragraph:
    style = "bold green" if story.green else _STYLES[story.severity] if story.severity else "bold yellow"
    spans = [(story.verdict, style), (f"  {story.title}", "bold")]
    if story.causes:
        bad = sum(len(cause.bad) for cause in story.causes)
        checks = wording.count(len(story.record.results), "check")
        causes = wording.count(len(story.causes), "cause")
        spans.append((f"  {causes}, {wording.figure(bad)} of {checks}, gate {story.record.gate}", "dim"))
    return paragraph(*spans)


def _indented(words: str) -> Paragraph:
    return paragraph((words, ""), indent=4)


def _heading(words: str, style: str = "bold dim") -> Paragraph:
    return paragraph((f"\n{words}", style))


def _named(severity: Severity, name: str, *more: tuple[str, str]) -> Paragraph:
    return paragraph((severity.value, _STYLES[severity]), (f"  {name}", "bold"), *more)


def _cause(story: Story, cause: Cause) -> Iterator[Paragraph]:
    """A root cause: its check, then label and value per line."""
    outcome = Outcome(cause.result.outcome) if cause.result else Outcome.FAILED
    plain = outcome in (Outcome.FAILED, Outcome.UNMEASURED)
    yield _named(cause.severity, cause.id, *(() if plain else ((f"  {outcome}", _STYLES[outcome]),)))
    yield from _facts_of(_facts(story, cause))


def _mended(results: list[Result]) -> Iterator[Paragraph]:
    """Checks that the same steps fixed: the worst by name, then label and value per line."""
    first = results[0]
    yield _named(first.severity, wording.one_line(first.check.id))
    yield from _facts_of(_good_facts(results))


def _facts_of(rows: Iterable[tuple[str, str]]) -> list[Paragraph]:
    return labelled((label, _LABELS.get(label, "dim"), value) for label, value in rows)


def _facts(story: Story, cause: Cause) -> Iterator[tuple[str, str]]:
    result = cause.result
    if result and result.check.title:
        yield "expected", wording.one_line(result.check.title)
    yield "seen", cause.message
    if result and result.hint:
        yield "hint", wording.one_line(result.hint)
    yield from (("measured", wording.against_limit(measurement)) for measurement in cause.unsaid)
    if result and len(result.attempts) > 1:
        yield "tried", remedy.tried(result)
    if result and result.recurred:
        yield "recurred", remedy.recurred(result)
    if result and (came := remedy.upshot(result)):
        yield "remedy", came
    if elsewhere := story.steps_told_at(cause):
        yield "steps", f"as above, for {elsewhere}"
    elif result:
        yield from _steps(result)
    if result and result.check.runbook:
        yield "runbook", _runbook(story.record, result.check.runbook)
    if cause.blocked:
        yield f"blocks {len(cause.blocked)}", _few(cause.blocked)


def _good_facts(results: list[Result]) -> Iterator[tuple[str, str]]:
    first = results[0]
    yield "seen", what_was_seen(first)
    yield from (("fixed by", fixed),) if (fixed := remedy.fixed_by(first)) else (("remedy", remedy.upshot(first)),)
    if first.recurred:
        yield "recurred", remedy.recurred(first)
    if len(first.steps) > 1:
        yield from _steps(first)
    if others := results[1:]:
        yield f"and {len(others)}", _few(others)


def _passes_again(results: list[Result]) -> str:
    fixed = remedy.fixed_by(results[0])
    said = f"fixed by {fixed}" if fixed else remedy.upshot(results[0])
    return f"{said}; and {_few(results[1:])}" if results[1:] else said


def _steps(result: Result) -> Iterator[tuple[str, str]]:
    """The steps of the runbook in their order, each with what became of it; of a plan also the very actions."""
    for step in result.steps:
        actions = step.actions if step.outcome == StepOutcome.WOULD_RUN else []
        # Spaces and line ends of an action are kept: they may be what it is about.
        exact = (f"  {line}" for action in actions for line in wording.safe(action).splitlines())
        yield remedy.ending(step), "\n".join((remedy.described(step), *exact))


def _runbook(record: RunRecord, name: str) -> str:
    """The id with the first line of the runbook's text, or its address."""
    first = next(iter(wording.safe(record.runbooks.get(name, "")).strip().splitlines()), "")
    return f"{name}  {first}".strip()


def _few(results: Sequence[Result]) -> str:
    """A few checks by name, many by number per service."""
    if len(results) <= _FEW:
        return ", ".join(wording.one_line(result.check.id) for result in results)
    return ", ".join(f"{wording.one_line(name)} {number}" for name, number in by_service(results).most_common())


def _list(items: Iterable[tuple[Result | Cause, str]]) -> Iterator[Paragraph]:
    """Two lines per item, severity and id, then why it is here; past a screenful only how many there are."""
    named = list(items)
    for item, why in named[:_NAMED]:
        name = item.id if isinstance(item, Cause) else wording.one_line(item.check.id)
        yield _named(item.severity, name)
        yield _indented(why)
    if len(named) > _NAMED:
        yield _indented(f"and {wording.figure(len(named) - _NAMED)} more: the page has them all")


def _waiver(result: Result) -> str:
    """Who accepted the failure until when and why, and what was seen."""
    if result.waiver is None:
        return what_was_seen(result)
    waiver = result.waiver
    kind = "maintenance " if waiver.kind == "maintenance" else ""
    return f"{kind}until {wording.moment(waiver.expires)} by {waiver.owner}: {waiver.reason}; seen: {what_was_seen(result)}"


def _counts(story: Story, width: int) -> Paragraph:
    """How many checks ended how, broken between outcomes only."""
    spans, used = [("\n", "")], 0
    for name in story.outcomes:
        words = f"{name} {wording.figure(story.counts[name])}"
        if used and used + 3 + len(words) > width:
            spans.append(("\n", ""))
            used = 0
        elif used:
            spans.append((" ·", "dim"))
            words, used = f" {words}", used + 2
        spans.append((words, _STYLES[Outcome(name)]))
        used += len(words)
    return paragraph(*spans) if used else paragraph(*spans, ("no check ran", "bold yellow"))

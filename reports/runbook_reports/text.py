"""Says in a terminal, calmly and grouped by root cause, what is wrong, what the limit was and which runbook applies."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_runbook import clock
from pytest_runbook.model import Outcome, Result, RunRecord, Severity

from runbook_reports import wording
from runbook_reports.files import write
from runbook_reports.story import Cause, Story, what_was_seen

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

NAME = "text"
FILE = "summary.txt"

_STYLES = {
    Severity.P1: "bold red",
    Severity.P2: "red",
    Severity.P3: "yellow",
    Outcome.PASSED: "green",
    Outcome.REMEDIATED: "green",
    Outcome.FAILED: "red",
    Outcome.STILL_FAILING: "red",
    Outcome.TIMED_OUT: "red",
    Outcome.UNMEASURED: "magenta",
    Outcome.BLOCKED: "yellow",
    Outcome.WAIVED: "cyan",
    Outcome.SKIPPED: "dim",
}
_FEW = 3
"""Up to so many blocked checks are named; more are counted per service."""
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
    from rich.console import Console  # late: half of what this module costs, wanted at the end of a run only

    story = Story(record)
    out = io.StringIO()
    # Everything about the terminal is the caller's decision: nothing is read from the environment.
    console = Console(
        file=out,
        width=max(width, 40),
        force_terminal=color,
        color_system="standard" if color else None,
        no_color=not color,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
        _environ={},
    )
    for block in _blocks(story, console.width):
        console.print(block)
    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    result = "\n".join((*lines, "", story.line())) + "\n"
    return result.translate(_PLAIN).encode("ascii", "replace").decode() if plain else result


def _blocks(story: Story, width: int) -> Iterator[RenderableType]:
    """The parts of the summary, top to bottom."""
    yield _head(story)
    if story.remark:
        yield _text(story.remark, "dim")
    for cause in story.failing[:_WHOLE]:
        yield _text("")
        yield from _cause(story, cause)
    if len(story.failing) > _WHOLE:
        yield _heading("also failing")
        yield from _list((cause, cause.message) for cause in story.failing[_WHOLE:])
    if story.unmeasured:
        yield _heading("not measured: neither known to be right nor known to be wrong")
        for cause in story.unmeasured[:_WHOLE]:
            yield from _cause(story, cause)
        yield from _list((cause, cause.message) for cause in story.unmeasured[_WHOLE:])
    if remediated := story.record.of(Outcome.REMEDIATED):
        yield _heading("remediated: failed, a step ran, the same check passes")
        yield from _list((result, _steps(result)) for result in remediated)
    if waived := story.record.of(Outcome.WAIVED):
        yield _heading("waived")
        yield from _list((result, _waiver(result)) for result in waived)
    if story.record.problems:
        yield _heading("problems of the run itself")
        yield from (_indented(problem) for problem in story.record.problems)
    yield _counts(story, width)


def _head(story: Story) -> Text:
    style = "bold green" if story.green else _STYLES[story.severity] if story.severity else "bold yellow"
    text = _text(story.verdict, style)
    text.append(f"  {story.title}", style="bold")
    if story.causes:
        bad = sum(len(cause.bad) for cause in story.causes)
        checks = wording.count(len(story.record.results), "check")
        causes = wording.count(len(story.causes), "cause")
        text.append(f"  {causes}, {wording.figure(bad)} of {checks}, gate {story.record.gate}", style="dim")
    return text


def _text(words: str, style: str = "") -> Text:
    from rich.text import Text

    return Text(wording.safe(words), style=style, overflow="fold")


def _indented(words: str) -> RenderableType:
    from rich.padding import Padding

    return Padding(_text(words), (0, 0, 0, 4))


def _heading(words: str) -> Text:
    return _text(f"\n{words}", "bold dim")


def _cause(story: Story, cause: Cause) -> Iterator[RenderableType]:
    """A root cause: its check, then label and value per line."""
    from rich.padding import Padding
    from rich.table import Table

    head = _text(cause.severity, _STYLES[cause.severity]).append(f"  {cause.id}", style="bold")
    if cause.result and cause.result.outcome not in (Outcome.FAILED, Outcome.UNMEASURED):
        head.append(f"  {cause.result.outcome}", style=_STYLES[Outcome(cause.result.outcome)])
    yield head
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True, min_width=9)
    facts.add_column(overflow="fold")
    for label, value in _facts(story, cause):
        facts.add_row(label, _text(value))
    yield Padding(facts, (0, 0, 0, 4))


def _facts(story: Story, cause: Cause) -> Iterator[tuple[str, str]]:
    result = cause.result
    if result and result.check.title:
        yield "expected", wording.one_line(result.check.title)
    yield "seen", cause.message
    yield from (("measured", wording.against_limit(measurement)) for measurement in cause.unsaid)
    if result and len(result.attempts) > 1:
        yield "tried", _attempts(result)
    if result and result.steps:
        yield "steps", _steps(result)
    if result and result.check.runbook:
        yield "runbook", _runbook(story.record, result.check.runbook)
    if cause.blocked:
        yield f"blocks {len(cause.blocked)}", _blocked(cause)


def _attempts(result: Result) -> str:
    times = wording.count(len(result.attempts), "time")
    return f"{times} in {clock.duration(result.duration)}: {', '.join(a.outcome for a in result.attempts)}"


def _steps(result: Result) -> str:
    """The steps that ran, each with how it ended."""
    return wording.one_line(", ".join(f"{step.title} {step.outcome}" for step in result.steps)) or "none recorded"


def _runbook(record: RunRecord, name: str) -> str:
    """The id with the first line of the runbook's text, or its address."""
    first = next(iter(wording.safe(record.runbooks.get(name, "")).strip().splitlines()), "")
    return f"{name}  {first}".strip()


def _blocked(cause: Cause) -> str:
    """A few checks by name, many by number per service."""
    if len(cause.blocked) <= _FEW:
        return ", ".join(wording.one_line(result.check.id) for result in cause.blocked)
    return ", ".join(f"{wording.one_line(name)} {number}" for name, number in cause.by_service.most_common())


def _list(items: Iterable[tuple[Result | Cause, str]]) -> Iterator[RenderableType]:
    """Two lines per item, severity and id, then why it is here; past a screenful only how many there are."""
    named = list(items)
    for item, why in named[:_NAMED]:
        name = item.id if isinstance(item, Cause) else wording.one_line(item.check.id)
        yield _text(item.severity, _STYLES[item.severity]).append(f"  {name}", style="bold")
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


def _counts(story: Story, width: int) -> Text:
    """How many checks ended how, broken between outcomes only."""
    line, used = _text("\n"), 0
    for name in story.outcomes:
        words = f"{name} {wording.figure(story.counts[name])}"
        separator = "" if not used else " · " if used + len(words) + 3 <= width else "\n"
        used = len(words) + (used + len(separator) if separator != "\n" else 0)
        line.append(separator, style="dim").append(words, style=_STYLES[Outcome(name)])
    return line if used else line.append("no check ran", style="bold yellow")

"""The text of an Allure result: what must be true, what was measured, what to do; Markdown with nothing foreign in it."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from pytest_runbook.model import Result, RunRecord

from runbook_reports import remedy, wording

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+!|~-])")


def description(result: Result, record: RunRecord) -> str:
    """Docstring, measurements beside their limits, waiver, and the runbook of a check that is not green."""
    return "\n\n".join(part for part in _parts(result, record) if part)


def _parts(result: Result, record: RunRecord) -> Iterator[str]:
    check = result.check
    yield html.escape(wording.safe(check.description or check.title), quote=False)
    if result.measurements:
        rows = (
            f"| {_plain(seen.name)} | {_plain(wording.seen(seen))} | {_plain(wording.limit(seen))} | {_verdict(seen.ok)} |"
            for seen in result.measurements
        )
        yield "\n".join(("| measurement | value | limit | |", "|---|---:|---:|---|", *rows))
    if fixed := remedy.fixed_by(result):
        yield f"**Fixed by** {_plain(fixed)}"
    if upshot := remedy.upshot(result):
        yield f"**Remedy** {_plain(upshot)}"
    if result.recurred:
        yield f"**Recurred** {_plain(remedy.recurred(result))}"
    if result.waiver:
        waiver = result.waiver
        yield f"**Waived** by {_plain(waiver.owner)} until {_plain(wording.moment(waiver.expires))}: {_plain(waiver.reason)}"
    if result.root:
        yield f"**Blocked by** {_plain(result.root)}"
    if check.runbook:
        yield f"**Runbook** {_plain(check.runbook)}"
        text = record.runbooks.get(check.runbook, "")
        if result.bad and text and not wording.address(text):
            yield "\n".join(f"    {html.escape(line)}" for line in wording.clipped(text, 10_000).splitlines())


def _plain(text: str) -> str:
    """TEXT that Markdown and HTML leave as it is."""
    return _MARKDOWN.sub(r"\\\1", html.escape(wording.one_line(text), quote=False))


def _verdict(ok: bool | None) -> str:
    return {True: "within", False: "**beyond**", None: ""}[ok]

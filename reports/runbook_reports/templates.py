"""Fills templates of a folder: everything is escaped that is not markup of ours, figures are worded as everywhere."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_runbook import clock

from runbook_reports import remedy, story, wording

if TYPE_CHECKING:
    from jinja2 import Environment


@cache
def templates(folder: Path) -> Environment:
    """Templates below FOLDER; a name that is not given is an error, never an empty place on the page."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    words = (wording.address, wording.clipped, wording.count, wording.figure, wording.limit, wording.moment)
    treatment = (remedy.described, remedy.ending, remedy.fixed_by, remedy.recurred, remedy.upshot)
    for word in (*words, *treatment, wording.one_line, wording.seen, clock.duration, story.alike, story.what_was_seen):
        environment.filters[word.__name__] = word
    # `safe` is the name of a filter of jinja2 that does the very opposite.
    environment.filters["safe_text"] = wording.safe
    return environment

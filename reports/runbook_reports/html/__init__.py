"""Writes `report.html`: pytest-html's page, whose first screen says what failed and why, quick with 10,000 checks."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from runbook_reports import orders

if TYPE_CHECKING:
    import pytest
    from pytest_runbook.model import RunRecord

    from runbook_reports import Writer

NAME = "html"
FILE = "report.html"


def render(record: RunRecord, folder: Path) -> list[Path]:
    """Write RECORD to `FOLDER/report.html`."""
    return to_path(folder / FILE, (), record)


def to_path(path: Path, styles: tuple[Path, ...], record: RunRecord) -> list[Path]:
    """Write RECORD to PATH, with the style sheets STYLES of a user after ours."""
    # Late: pytest-html and jinja2 are wanted at the end of a run only.
    from runbook_reports.html.page import make

    return [make(path, record, styles)]


def adopt(config: pytest.Config) -> Writer | None:
    """Write the page of `--html` too, in the styles of `--css`."""
    path = orders.taken(config, "htmlpath")
    return partial(to_path, path, tuple(map(Path, config.option.css))) if path else None

"""Writes `allure-results/`: what Allure makes its report of, from the record instead of test by test."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from runbook_reports import orders

if TYPE_CHECKING:
    import pytest
    from pytest_runbook.model import RunRecord

    from runbook_reports import Writer

NAME = "allure"
FOLDER = "allure-results"


def render(record: RunRecord, folder: Path) -> list[Path]:
    """Write RECORD to `FOLDER/allure-results`, in place of what was there.

    `npx allure generate` in FOLDER then makes the report, with the name and the categories of `FOLDER/allurerc.json`.
    """
    from runbook_reports.allure.folder import configuration

    try:
        return [*to_folder(folder / FOLDER, True, record), configuration(folder, record)]
    except OSError:  # half of the results would pass for the whole run, and take the room of its record
        shutil.rmtree(folder / FOLDER, ignore_errors=True)
        raise


def to_folder(folder: Path, clean: bool, record: RunRecord) -> list[Path]:
    """Write RECORD to FOLDER, emptied before when CLEAN."""
    # Late: Allure's classes are wanted at the end of a run only.
    from runbook_reports.allure.folder import fill

    return [fill(folder, record, clean=clean)]


def adopt(config: pytest.Config) -> Writer | None:
    """Fill the folder of `--alluredir` too."""
    path = orders.taken(config, "allure_report_dir")
    return partial(to_folder, path, bool(config.option.clean_alluredir)) if path else None

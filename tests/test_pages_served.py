"""What is no page is neither quick nor well, who is told to ask for less sees nothing, and few runs tell no uptime."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_runbook.model import Outcome, Result

from tests.looking import answering, looked

ERRORS, SPEED = "web/errors::error_rate", "web/performance::p95_response_time"
OPENS, UPTIME = "web/availability::page_opens[/]", "web/uptime::uptime"


def seen_of(check: str, status: int, folder: Path, runs: Path | None = None) -> Result:
    """What CHECK finds of a web service that answers STATUS, with RUNS as the folder of earlier runs."""
    with answering(status) as url:
        told = {"probes.web.url": url, "probes.runs.folder": str(runs or folder)}
        record = looked([check.partition("[")[0]], told, folder / "report")
    return next(result for result in record.results if result.check.id == check)


@pytest.mark.parametrize("check", [ERRORS, SPEED, OPENS, UPTIME])
def test_who_is_told_to_ask_for_less_sees_nothing(check: str, tmp_path: Path) -> None:
    seen = seen_of(check, 429, tmp_path)
    assert seen.outcome == Outcome.UNMEASURED, seen.message
    assert "limits how often" in seen.message


@pytest.mark.parametrize("status", [302, 403, 404])
def test_what_is_no_page_is_an_error(status: int, tmp_path: Path) -> None:
    seen = seen_of(ERRORS, status, tmp_path)
    assert (seen.outcome, seen.message) == (
        Outcome.FAILED,
        f"50 of 50 requests for / failed: 50 times status {status}",
    )


def test_what_is_no_page_is_not_quick(tmp_path: Path) -> None:
    seen = seen_of(SPEED, 404, tmp_path)
    assert (seen.outcome, seen.message) == (
        Outcome.UNMEASURED,
        "none of 50 requests was answered as expected: {404: 50}",
    )


def test_uptime_of_a_system_without_a_past_is_not_claimed(tmp_path: Path) -> None:
    seen = seen_of(UPTIME, 200, tmp_path)
    assert (seen.outcome, seen.measurements) == (Outcome.SKIPPED, [])
    assert seen.message == "only 0 earlier runs tell, and none found it down: facts.uptime.least asks for more", (
        seen.message
    )


def test_uptime_out_of_a_folder_that_is_lost_is_unmeasured(tmp_path: Path) -> None:
    seen = seen_of(UPTIME, 200, tmp_path, tmp_path / "lost")
    assert (seen.outcome, seen.message) == (
        Outcome.UNMEASURED,
        f'"{tmp_path}/lost" does not exist: runs are recorded elsewhere',
    )

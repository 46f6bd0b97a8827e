"""Cookies that a lenient reader would pass over, counts of several processes, and compose files as people write them."""

from __future__ import annotations

import json
from itertools import chain, repeat
from pathlib import Path

import pytest
from pytest_runbook.model import Outcome, Result

from tests.looking import answering, looked

COOKIES = "proxy/security::cookies_are_protected"
PREDICTIONS = "ml/errors::predictions_succeed"
GOOD = "session=a; Secure; HttpOnly; Path=/; SameSite=Lax"


def cookies(folder: Path, *lines: str) -> Result:
    """What is found where the LINES set cookies."""
    with answering(200, [("Set-Cookie", line) for line in lines]) as url:
        (seen,) = looked([COOKIES], {"probes.proxy.url": url}, folder / "report").results
    return seen


@pytest.mark.parametrize(
    ("line", "lacks"),
    [
        ("session=a; Secure; HttpOnly; SameSite=None", "session lacks SameSite"),
        ('prefs={"a":"b"}; Path=/', "prefs lacks Secure, HttpOnly, SameSite"),
        ("remember_token=xyz; Path=/; Partitioned", "remember_token lacks Secure, HttpOnly, SameSite"),
        ("secure=httponly; SameSite=strict", "secure lacks Secure, HttpOnly"),
    ],
)
def test_a_cookie_is_read_as_browsers_read_it(line: str, lacks: str, tmp_path: Path) -> None:
    seen = cookies(tmp_path, GOOD, line)
    assert (seen.outcome, seen.message) == (Outcome.FAILED, f"cookies without protection: {lacks}")


def test_protected_cookies_are_good(tmp_path: Path) -> None:
    assert cookies(tmp_path, GOOD, "prefs=[x y]; samesite=Strict;secure ;httponly").outcome == Outcome.PASSED
    assert cookies(tmp_path / "none").outcome == Outcome.UNMEASURED


@pytest.mark.parametrize("then", [(110, 2), (50, 45), (90, 0)])
def test_counts_of_two_processes_say_nothing_of_either(then: tuple[int, int], tmp_path: Path) -> None:
    """The first one has counted 100 predictions, of which 5 failed; what differs cannot have happened since."""
    told = [
        json.dumps({"router_stats": {"total_predictions": total, "failed_predictions": failed}})
        for total, failed in ((100, 5), then)
    ]
    with answering(200, [("Content-Type", "application/json")], chain(told, repeat(told[-1]))) as url:
        settings = {"probes.ml.url": url, "facts.ml.window": 0.1, "facts.paths.evaluation": str(tmp_path)}
        (seen,) = looked([PREDICTIONS], settings, tmp_path / "report").results
    assert seen.outcome == Outcome.UNMEASURED
    assert "nobody asks for predictions" in seen.message


def test_a_compose_file_is_read_as_compose_reads_it(tmp_path: Path) -> None:
    file = tmp_path / "compose.yml"
    image = "nightscan/web:${R4_TAG:-${R4_OTHER:-latest}}"
    file.write_text(f"services:\n  web:\n    image: {image}\n    command: serve ${{R4_TLS:+--tls}}\n")
    names = (
        "configuration/deployment::compose_file_has_its_variables",
        "configuration/deployment::images_have_a_fixed_tag",
    )
    record = looked(names, {"facts.paths.compose": str(file)}, tmp_path / "report")
    seen = {result.check.id: (result.outcome, result.message) for result in record.results}
    assert seen[names[0]] == (Outcome.PASSED, "")
    assert seen[names[1]] == (Outcome.FAILED, "images without a fixed tag: nightscan/web:latest")

"""Who takes a deployment up does so with the one that was meant, and is shown what would be done without doing it."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.deploy.shop import GOOD, SECRET, Shop, keyboard

BLIND = "2.0-blind"


def asked(process: subprocess.Popen[str]) -> None:
    """Wait until PROCESS asks what to do."""
    heard = ""
    assert process.stdout
    while "leave it?" not in heard:
        letter = process.stdout.read(1)
        assert letter, heard
        heard += letter


@pytest.mark.parametrize(
    ("way", "phases"), [("--resume", "verify"), ("--abort", "switch-back, healthy-back, verify-back")]
)
def test_what_would_be_done_is_shown_and_not_done(market: Shop, way: str, phases: str) -> None:
    assert market.runbook("deploy", BLIND)[0] == 6
    before = market.phases
    code, output = market.runbook("deploy", way, "--dry-run")
    assert (code, output) == (0, f"deployment 1 of {BLIND}: {'healthy, ' if way == '--resume' else ''}{phases}\n")
    assert market.phases == before
    assert market.served() == {BLIND}


def test_answer_counts_for_the_deployment_that_was_asked_about(market: Shop) -> None:
    """While one is asked, another ends that deployment and begins the next: that one is not touched by the answer."""
    with keyboard() as (keys, terminal):
        process = market.begin("deploy", BLIND, stdin=terminal)
        asked(process)
        assert market.runbook("deploy", "--abort")[0] == 0
        assert market.runbook("deploy", "2.1-blind")[0] == 6
        os.write(keys, b"back\n")
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert "the deployment 1 has ended meanwhile, by another process" in output
    assert "rolled-back: " in output
    assert (market.row.version, market.row.outcome) == ("2.1-blind", None)
    assert market.served() == {"2.1-blind"}


def test_who_wants_to_go_back_learns_that_another_went_on(market: Shop) -> None:
    (market.folder / "errors").write_text("of yesterday")
    with keyboard() as (keys, terminal):
        process = market.begin("deploy", "1.4.3", "--set", "deploy.since=[]", stdin=terminal)
        asked(process)
        (market.folder / "errors").unlink()
        assert market.runbook("deploy", "--resume")[0] == 0
        os.write(keys, b"back\n")
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 6, output
    assert "the deployment 1 has ended meanwhile, by another process" in output
    assert market.served() == {"1.4.3"}


def test_no_secret_is_in_what_goes_wrong_before_anything_is_changed(market: Shop) -> None:
    leaky = market.folder / "leaky"
    leaky.write_text(f"#!/bin/sh\n. {market.folder}/env\necho refused: $DB_PASSWORD >&2\nexit 1\n")
    leaky.chmod(0o755)
    code, output = market.runbook("deploy", "1.4.3", "--set", f'managers.shop.prefix=["{leaky}"]')
    assert code == 4, output
    assert "refused: ****" in output
    assert SECRET not in output
    assert market.served() == {GOOD}

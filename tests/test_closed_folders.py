"""Checks by a user who may not read the system's folders: each is unmeasured, says which path, and none is wrong or green."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_runbook.model import Outcome, RunRecord

from tests.looking import looked

FOLDERS = ("models", "logs", "backups", "evaluation", "uploads")
CHECKS = (
    "ml/availability::recording_gets_a_prediction",
    "ml/models::models_are_whole",
    "ml/models::models_know_their_classes",
    "ml/models::accuracy",
    "ml/performance::prediction_latency",
    "host/capacity::disk",
    "host/capacity::room_for_the_deployment",
    "host/capacity::logs_are_rotated",
    "host/consistency::folders_are_there",
    "host/freshness::old_logs_are_gone",
    "host/security::data_is_private",
    "host/security::no_restart_is_due",
    "configuration/deployment::compose_file_parses",
)


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    """A folder with the system's folders, that nobody may look into."""
    folder = tmp_path / "system"
    for name in FOLDERS:
        (folder / name).mkdir(parents=True)
    folder.chmod(0)
    yield folder
    folder.chmod(0o700)


def record_of(folder: Path, report: Path) -> RunRecord:
    """The record of CHECKS with the paths below FOLDER, run without root's right to read everything."""
    paths = {name: folder / name for name in (*FOLDERS, "restart_required", "compose")}
    told = {f"facts.paths.{name}": str(path) for name, path in paths.items()}
    record = looked(CHECKS, told, report, plain=True)
    assert record.exit_code == 1
    return record


def test_what_is_closed_is_unmeasured_and_says_so(closed: Path, tmp_path: Path) -> None:
    results = {one.check.id: one for one in record_of(closed, tmp_path / "report").results}

    for name in CHECKS:
        assert results[name].outcome in (Outcome.UNMEASURED, Outcome.BLOCKED), (name, results[name].message)
        assert "permission denied" in results[name].message.lower(), (name, results[name].message)
        assert str(closed) in results[name].message, (name, results[name].message)
        assert results[name].hint, name

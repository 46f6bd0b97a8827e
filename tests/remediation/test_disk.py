"""The runbooks of a full disk: they remove what lies on the disk that is full, and nothing elsewhere."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.remediation.acting import Acting, settings

ROOM = "host/capacity::room_for_the_deployment"
STEPS = {
    "disk-full": ("application_cache", "rotated_logs", "system_logs"),
    "inodes": ("application_cache", "rotated_logs"),
}
LIMIT = {"disk-full": "limits__host__disk", "inodes": "limits__host__inodes"}


@pytest.fixture
def paths(tmp_path: Path) -> Mapping[str, object]:
    """Folders with old files in them, all on one file system."""
    moment = time.time() - 40 * 86_400
    for name in ("cache/page", "logs/web.log.1", "system/syslog.1.gz", "backups/manifest.json", "uploads/photo.jpg"):
        file = tmp_path / name
        file.parent.mkdir()
        file.write_text("x")
        os.utime(file, (moment, moment))
    places = {"cache": "cache", "logs": "logs", "system_logs": "system", "backups": "backups", "uploads": "uploads"}
    return {f"facts__paths__{key}": tmp_path / name for key, name in places.items()}


@pytest.mark.parametrize("runbook", STEPS)
def test_nothing_is_removed_where_there_is_room(runbook: str, paths: Mapping[str, object], tmp_path: Path) -> None:
    if runbook == "inodes" and not os.statvfs(tmp_path).f_files:
        pytest.skip("this file system has no fixed number of inodes")
    full = Acting(runbook, settings(**paths, **{LIMIT[runbook]: 0.0}))
    roomy = Acting(runbook, settings(**paths, **{LIMIT[runbook]: 1.1}))
    for step in STEPS[runbook]:
        assert full.needed(step)
        assert not roomy.needed(step)
    assert not roomy.needed("images")
    full.do("application_cache")
    assert not full.needed("application_cache")
    assert (tmp_path / "uploads" / "photo.jpg").exists()


def test_for_a_backup_room_is_made_on_the_disk_of_the_backups(paths: Mapping[str, object]) -> None:
    told = settings(**paths, limits__host__disk=1.1)
    assert Acting("disk-full", told, [ROOM]).needed("application_cache")
    elsewhere = settings(**{**paths, "facts__paths__backups": "/proc"}, limits__host__disk=1.1)
    assert not Acting("disk-full", elsewhere, [ROOM]).needed("application_cache")


def test_the_journal_stays_where_there_is_room() -> None:
    assert not Acting("disk-full", settings(limits__host__disk=1.1, facts__host__journal=json.dumps(True))).needed(
        "journal"
    )


def test_a_cache_folder_that_holds_what_users_own_is_told(paths: Mapping[str, object], tmp_path: Path) -> None:
    told = settings(**{**paths, "facts__paths__cache": tmp_path}, limits__host__disk=0.0)
    assert "facts.paths.uploads" in Acting("disk-full", told).refusal("application_cache")
    assert (tmp_path / "uploads" / "photo.jpg").exists()

"""Versions of the stand-ins are good or bad as their names say, and are switched as a container's would be."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from pytest_runbook.managers import manager_of, named

from lab import Lab, home
from lab.launch import version as told_version
from lab.serving.faults import Faults
from lab.serving.versions import kind, rules
from lab.waiting import until
from tests.lab.standins import Stack
from tests.lab.test_managed_services import settings
from tests.labs import ROOT
from tests.managers.here import local


def ended(stack: Stack, service: str, version: str) -> subprocess.CompletedProcess[str]:
    """What came of SERVICE in a VERSION that ends at once."""
    return subprocess.run(
        [sys.executable, "-m", f"lab.{service}"],
        cwd=ROOT,
        env={**os.environ, **stack.home.variables, "VERSION": version},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("version", "found"),
    [
        ("1.4.3", "good"),
        ("latest", "good"),
        ("1.5.0-slow", "slow"),
        ("1.5.0-failing-after-60s", "failing"),
        ("1.5.0-no-start", "no-start"),
        ("1.5.0-broken-migration", "broken-migration"),
    ],
)
def test_name_says_how_a_version_behaves(version: str, found: str) -> None:
    assert kind(version) == found


def test_bad_version_misbehaves_until_its_file_says_otherwise(tmp_path: Path) -> None:
    faults = Faults(tmp_path, "web", rules("1.5.0-failing", "web"))
    hits = [faults.hit("status", "/login") is not None for _ in range(8)]
    assert hits.count(True) == 2
    assert faults.hit("status", "/health") is None
    (tmp_path / "web-faults.json").write_text('{"status": {"path": "/none", "code": 500}}')
    assert [faults.hit("status", "/login") for _ in range(8)] == [None] * 8


def test_version_that_fails_later_is_good_at_first(tmp_path: Path) -> None:
    faults = Faults(tmp_path, "web", rules("1.5.0-failing-after-3600s", "web"))
    assert [faults.hit("status", "/") for _ in range(8)] == [None] * 8


def test_version_without_a_start_says_why(stack: Stack) -> None:
    done = ended(stack, "ml", "1.5.0-no-start")
    assert (done.returncode, "no module named" in done.stderr) == (1, True), done.stderr


def test_broken_migration_leaves_half_of_its_work(stack: Stack) -> None:
    done = ended(stack, "web", "1.5.0-broken-migration")
    assert done.returncode == 1
    assert "step 2 of its migration failed" in done.stderr
    columns = "SELECT column_name FROM information_schema.columns WHERE table_name = 'prediction'"
    try:
        assert ("station",) in stack.sql(columns)
    finally:
        stack.sql("ALTER TABLE prediction DROP COLUMN IF EXISTS station")


@pytest.mark.parametrize(
    ("text", "found"),
    [("A=1\nVERSION=1.4.2\nPREVIOUS_VERSION=1.4.1\n", {"VERSION": "1.4.2"}), ("A=1\n", {}), (None, {})],
)
def test_version_is_read_at_each_start(tmp_path: Path, text: str | None, found: dict[str, str]) -> None:
    file = tmp_path / ".env"
    if text is not None:
        file.write_text(text)
    assert told_version(str(file)) == found


def test_manager_switches_one_service_of_the_lab(lab: Lab) -> None:
    told = settings(lab)
    manager, unit = manager_of(told, "ml", local)
    assert manager.version(unit) == "1.4.2"
    try:
        manager.switch_version(unit, "1.4.3")
        manager.restart(unit, 60)
        assert (manager.version(unit), manager.previous_version(unit)) == ("1.4.3", "1.4.2")
        web, other = manager_of(told, "web", local)
        assert web.version(other) == "1.4.2"
        lab.up()
        assert home.read_env(lab.site)["VERSION"] == "1.4.3"
    finally:
        manager.switch_version(unit, "1.4.2")
        manager.restart(unit, 60)


@pytest.mark.parametrize("service", ["web", "ml"])
def test_canary_runs_beside_its_service_in_a_version_of_its_own(lab: Lab, service: str) -> None:
    told = settings(lab)
    canary = told.deploy.canary[service]
    manager = named(told, canary.manager, local)
    assert manager.status(canary.unit).state == "stopped"
    variables = home.env_file(lab.site).read_bytes()
    try:
        manager.switch_version(canary.unit, "1.4.3")
        manager.start(canary.unit, 60)
        until(lab.servers[canary.unit].ready, "it answers", deadline=30)
        health = httpx.get(f"{canary.probes[service]}/health", timeout=10).json()
        assert (health["version"], manager.version(canary.unit)) == ("1.4.3", "1.4.3")
        beside, unit = manager_of(told, service, local)
        assert beside.version(unit) == "1.4.2"
        assert canary.unit not in {status.name for status in lab.status()}
    finally:
        manager.stop(canary.unit, 30)
        manager.switch_version(canary.unit, "1.4.2")
    assert home.env_file(lab.site).read_bytes() == variables
    lab.up()
    assert manager.status(canary.unit).state == "stopped", "a lab that comes up starts none"

"""The settings of NightScan know how each service of the lab is started and stopped."""

from __future__ import annotations

import os
from pathlib import Path

from pytest_runbook.managers import manager_of
from pytest_runbook.settings import Settings, load

from lab import Lab
from tests.labs import ROOT
from tests.managers.here import local


def settings(lab: Lab) -> Settings:
    return load(ROOT, file=Path("nightscan.toml"), environ={**os.environ, **lab.environment()}).settings


def test_every_managed_service_runs(lab: Lab) -> None:
    told = settings(lab)
    managed = [name for name, service in told.services.items() if service.manager]
    assert {"web", "ml", "database", "standby", "cache", "storage", "proxy", "worker"} <= set(managed)
    for name in managed:
        manager, unit = manager_of(told, name, local)
        assert manager.status(unit).state == "running", name


def test_restarted_service_is_another_process_and_the_lab_does_its_work(lab: Lab) -> None:
    manager, unit = manager_of(settings(lab), "web", local)
    before = manager.status(unit).pids
    manager.restart(unit, 60)
    assert manager.status(unit).pids != before
    assert manager.version(unit) == lab.site.state.release
    lab.up()  # waits until it answers
    assert all(status.healthy for status in lab.status() if status.name == "web")

"""The backup that a deployment makes before it changes anything."""

from __future__ import annotations

from pytest_runbook.deploy.course import Backup
from pytest_runbook.deploy.looks import Project
from pytest_runbook.errors import BackupError


def backup_of(project: Project) -> Backup:
    """Makes a backup of the system of PROJECT."""

    def make() -> str:
        raise BackupError(f'nothing makes a backup of "{project.loaded.settings.system.name}" yet')

    return make

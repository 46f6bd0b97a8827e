"""The backup that a deployment makes before it changes anything."""

from __future__ import annotations

from pytest_runbook.deploy.course import Backup
from pytest_runbook.deploy.looks import Project
from pytest_runbook.evidence.redaction import Redactor


def backup_of(project: Project) -> Backup:
    """Makes a backup of the system of PROJECT, read back here and in every other place where it should be."""

    def make(release: str) -> str:
        from pytest_runbook import backup  # late: not every deployment makes one
        from pytest_runbook.backup.progress import Terminal

        settings = project.loaded.settings
        # What runs says which release the data are of; a shell that has read an older file of variables does not.
        told = settings.backup.model_copy(update={"release": release})
        progress = Terminal(Redactor(project.loaded.secrets).text)
        return backup.make(settings.model_copy(update={"backup": told}), project.root, progress=progress).id

    return make

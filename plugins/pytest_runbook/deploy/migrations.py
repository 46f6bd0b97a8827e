"""Tells whether the database was migrated meanwhile: the version before may not work with it any more, nor even start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_runbook.deploy.verdict import Judgement
from pytest_runbook.errors import BackupError

if TYPE_CHECKING:
    from pytest_runbook.settings import Settings


class Schema:
    """The revision of the database in use, as its migrations keep it there."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def revision(self) -> str | None:
        """It, empty when there is none; None when nobody can tell it."""
        from pytest_runbook.backup.restore import revisions  # late: most commands need nothing of backups

        try:
            return revisions.in_use(self._settings)
        except BackupError:
            return None

    def since(self, before: str | None) -> Judgement:
        """Whether it is what it was BEFORE; `failed`: the database was migrated since."""
        now = self.revision()
        if before is None or now is None or not (before or now):
            where = f'"{self._settings.backup.database.revision}" of [backup.database]'
            return Judgement("inconclusive", f"whether the database was migrated is not known: {where} does not tell")
        if now == before:
            return Judgement("done", f'the database is at "{now}", as before')
        return Judgement("failed", f'the database was migrated from "{before}" to "{now}"')

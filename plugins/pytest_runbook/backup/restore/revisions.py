"""Refuses a backup whose database is newer than the software that is to work with it, from whatever tells what that knows.

Revisions of migrations have no order of their own. The settings may list them; else the backups that there are show which
came first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from pytest_runbook.backup import postgresql, tables
from pytest_runbook.errors import BackupError

if TYPE_CHECKING:
    from pytest_runbook.backup.destinations import Destination
    from pytest_runbook.backup.manifest import Manifest
    from pytest_runbook.settings import Settings

PATIENCE = "SET statement_timeout = '10s'"
"""A migration that is going on may hold the table of revisions."""


def refusal(settings: Settings, destination: Destination, manifest: Manifest) -> str | None:
    """Why the database of MANIFEST, a backup in DESTINATION, is too new for the system of SETTINGS; None: nothing says so."""
    known, own = settings.restore.revisions, manifest.schema
    if not own or set(own.split(",")) <= set(known):  # migrations may have several heads
        return None
    if known:
        return _newer(manifest, f'the deployed release knows up to "{known[-1]}"')
    needed, who = _stated(settings)
    if own == needed:
        return None
    made = list(_made(destination))
    if not needed:
        needed, who = (
            _of_release(settings, made),
            f'backups of the deployed release, "{settings.backup.release}", are at',
        )
    first = {schema: created for created, schema, _ in reversed(made)}
    if needed not in first or first.get(own, manifest.created) <= first[needed]:
        return None
    return _newer(manifest, f'{who} "{needed}", which came before it in the backups that there are')


def in_use(settings: Settings) -> str:
    """The revision of the database that [backup.database] names, empty when it has none; BackupError when it cannot be read."""
    part = settings.backup.database
    if not (part.probe and part.revision):
        raise BackupError("backup.database names no probe and revision")
    with postgresql.of_backup(settings).connect() as session:
        session.execute(PATIENCE)
        return tables.revision(session, part.revision) or ""


def _newer(manifest: Manifest, what: str) -> str:
    return (
        f'the database of the backup is at revision "{manifest.schema}", {what}\n'
        f'  hint: deploy the release that made it (it says "{manifest.release or ""}") first, '
        "or list what the deployed one knows in restore.revisions"
    )


def _stated(settings: Settings) -> tuple[str, str]:
    """The revision that the system itself says it works with, and who says so; empty when nobody does."""
    facts = settings.facts.get("database")
    if isinstance(facts, Mapping) and (stated := facts.get("revision")):
        return str(stated), "facts.database.revision is"
    with suppress(BackupError):  # it may be lost: then others tell
        return in_use(settings), "the database in use is at"
    return "", ""


def _of_release(settings: Settings, made: list[tuple[str, str, str]]) -> str:
    """The revision of the newest backup that was MADE of the release that is deployed."""
    return next((schema for _, schema, release in reversed(made) if release and release == settings.backup.release), "")


def _made(destination: Destination) -> Iterator[tuple[str, str, str]]:
    """When each backup of this system in DESTINATION was made, its revision and its release; the oldest first."""
    for backup in destination.backups():
        with suppress(BackupError):
            found = destination.head(backup)
            if found.schema and found.is_of(destination.settings.system):
                yield found.created, found.schema, found.release or ""

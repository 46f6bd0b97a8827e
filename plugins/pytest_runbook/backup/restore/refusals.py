"""What a restore into production refuses before it makes anything, and a dry run as well: what cannot be exchanged here."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_runbook import managers
from pytest_runbook.backup.restore import (
    exchange,
    places,
    replication,
    revisions,
    rights,
    room,
    servers,
    serving,
    sessions,
)
from pytest_runbook.backup.restore.journal import BACK, PREPARING, Journal, Restore
from pytest_runbook.errors import RestoreError

if TYPE_CHECKING:
    from sqlalchemy import URL

    from pytest_runbook.backup.destinations import Destination
    from pytest_runbook.backup.manifest import Database, Manifest
    from pytest_runbook.settings import Settings


def finishing(restore: Restore) -> None:
    """Raise RestoreError when RESTORE cannot be gone on with, nor be accepted."""
    if restore.state == PREPARING:
        raise RestoreError(
            f'"{restore.id}" was killed before anything was exchanged\n  hint: --undo, then restore anew'
        )
    if restore.state == BACK:
        raise RestoreError(f'"{restore.id}" was taken back already\n  hint: --undo, which starts what is stopped')


def backup(settings: Settings, destination: Destination, manifest: Manifest) -> None:
    """Raise RestoreError when the backup of MANIFEST, in DESTINATION, does not belong into the system of SETTINGS."""
    own = settings.system
    if (manifest.system, manifest.environment) != (own.name, own.environment):
        raise RestoreError(
            f'the backup is of "{manifest.system}" in {manifest.environment}, not of "{own.name}" in {own.environment}',
            reason="other-system",
        )
    if why := revisions.refusal(settings, destination, manifest):
        raise RestoreError(why, reason="schema-newer")


def parts(settings: Settings, root: Path, manifest: Manifest, wanted: Collection[str]) -> list[str]:
    """Raise RestoreError when a part WANTED of the backup of MANIFEST cannot be exchanged, has no room, or none is in it.

    So it is where no journal could say how far the restore came. What may still keep it from being restored is told.
    """
    Journal(root / settings.restore.journal).insist()
    told = manifest.database if "database" in wanted else None
    saved = manifest.cache if "cache" in wanted else None
    there = places.held(settings, root, manifest, wanted)
    if not (told or saved or there):
        raise RestoreError(f'the backup "{manifest.id}" holds nothing of {", ".join(wanted)}')
    roots(settings, root, there)
    machines(settings, cache=bool(saved), files=bool(there))
    doubts = database(settings, told) if told else []
    if saved:
        cache(settings)
    room.insist(room.needed(settings, manifest, wanted, there, lambda _: None))
    return doubts


def machines(settings: Settings, *, cache: bool, files: bool) -> None:
    """Raise UsageError when nothing says where a service is managed that is stopped, or whose version stays in FILES."""
    own = settings.restore
    asked = [*own.stop, *([own.cache] if cache and own.cache else [])]
    if files:
        asked += [name for name, service in settings.services.items() if service.manager]
    for name in dict.fromkeys(asked):
        managers.machine_of(settings, name)


def database(settings: Settings, told: Database) -> list[str]:
    """Raise RestoreError when the database that the backup TOLD of cannot be exchanged where SETTINGS say; what is doubtful."""
    from pytest_runbook.backup.postgresql import Server

    servers.insist_on_production(settings)
    server, live, history = servers.administrator(settings), servers.live(settings, told), _history(settings)
    sessions.insist(server, live)
    doubts = [*rights.insist(server, live, told), *replication.before(server, live)]
    if history.get_backend_name() != "postgresql" or history.database != live:
        return doubts
    address = history.translate_connect_args(username="user", database="dbname") | dict(history.query)
    if servers.same(server, Server("history.url", address)) is not False:
        raise RestoreError(
            f'the history lies in the database "{live}", with the locks that keep others out meanwhile\n'
            "  hint: keep it in a database of its own ([history] url)"
        )
    return doubts


def cache(settings: Settings) -> None:
    """Raise RestoreError when the cache cannot be given other data from this machine."""
    service = settings.restore.cache
    if service is None:
        raise RestoreError(
            "nothing says which service is the cache\n  hint: set restore.cache, or leave it out with --only"
        )
    if managers.declared(settings, service)[0].machine:
        raise RestoreError(f'"{service}" is managed on another machine\n  hint: restore the cache there')
    folder = serving.folder(settings, serving.files(settings))
    if not folder.is_dir():
        raise RestoreError(
            f'the folder of the cache, "{folder}", is not on this machine\n'
            "  hint: set restore.cache_folder, or restore it there"
        )


def roots(settings: Settings, root: Path, there: Mapping[str, Path]) -> None:
    """Raise RestoreError when a root, by its name and real path THERE, cannot be renamed, or holds what has to stay."""
    for name, path in there.items():
        if why := exchange.obstacle(path):
            raise RestoreError(f'the root "{name}", "{path}", cannot be exchanged: {why}')
    for outer, inner in permutations(there, 2):
        if there[inner].is_relative_to(there[outer]):
            raise RestoreError(
                f'the root "{inner}", "{there[inner]}", lies in the root "{outer}": not both can be exchanged\n'
                f'  hint: take "{inner}" out of backup.files.roots; "{outer}" holds it'
            )
    for name, path in there.items():
        for key, needed in _needed(settings, root).items():
            if needed.resolve().is_relative_to(path):
                raise RestoreError(
                    f'the root "{name}", "{path}", holds "{needed}", which a restore needs to go back\n'
                    f"  hint: let {key} lead elsewhere"
                )


def _needed(settings: Settings, root: Path) -> dict[str, Path]:
    """What has to stay where it is, by the settings that say where."""
    from pytest_runbook.backup import destinations
    from pytest_runbook.backup.destinations.folder import Folder

    found = {"restore.journal": root / settings.restore.journal}
    history = _history(settings)
    if history.get_backend_name() == "sqlite" and history.database:
        found["history.url"] = root / history.database
    local = destinations.connect(settings.backup.local, settings, root)
    if isinstance(local, Folder):
        found["the destination backup.local"] = local.folder
    local.close()
    return found


def _history(settings: Settings) -> URL:
    from sqlalchemy import make_url

    return make_url(settings.history.url.get_secret_value())

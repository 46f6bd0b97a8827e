"""What a restore into production refuses before it makes anything ready: to exchange what it needs itself, or one thing twice."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_runbook.backup.restore import servers, sessions
from pytest_runbook.errors import RestoreError

if TYPE_CHECKING:
    from sqlalchemy import URL

    from pytest_runbook.backup.manifest import Database
    from pytest_runbook.settings import Settings


def database(settings: Settings, told: Database) -> None:
    """Raise RestoreError when the database that the backup TOLD of cannot be exchanged where SETTINGS say."""
    from pytest_runbook.backup.postgresql import Server

    servers.insist_on_production(settings)
    server, live, history = servers.administrator(settings), servers.live(settings, told), _history(settings)
    sessions.insist(server, live)
    if history.get_backend_name() != "postgresql" or history.database != live:
        return
    address = history.translate_connect_args(username="user", database="dbname") | dict(history.query)
    if servers.same(server, Server("history.url", address)) is not False:
        raise RestoreError(
            f'the history lies in the database "{live}", with the locks that keep others out meanwhile\n'
            "  hint: keep it in a database of its own ([history] url)"
        )


def roots(settings: Settings, root: Path, places: Mapping[str, Path]) -> None:
    """Raise RestoreError when one of PLACES, the real paths of roots by name, holds another, or what a restore needs."""
    for outer, inner in permutations(places, 2):
        if places[inner].is_relative_to(places[outer]):
            raise RestoreError(
                f'the root "{inner}", "{places[inner]}", lies in the root "{outer}": not both can be exchanged\n'
                f'  hint: take "{inner}" out of backup.files.roots; "{outer}" holds it'
            )
    for name, path in places.items():
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

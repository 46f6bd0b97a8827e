"""What a backup says of itself: what it holds, of which moment, from where; `manifest.json`, versioned."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from pytest_runbook import clock
from pytest_runbook.errors import BackupError
from pytest_runbook.model import Record

if TYPE_CHECKING:
    from pytest_runbook.settings.schema import System

VERSION = 1
"""Of the shape below; raised when a reader of the old one would be wrong."""
MANIFEST, VERIFIED, RESTORED = "manifest.json", "verified.json", "restored.json"
DATABASE, ROLES, CACHE, FILES = "database", "roles.sql", "cache.rdb", "files.tar.zst"
ID = re.compile(r"\d{8}T\d{6}Z(-\d+)?")
PARTIAL = ".partial-"
"""What the folder of a backup that is not finished begins with."""


@dataclass(frozen=True, slots=True)
class Table(Record):
    """One table, as it was in the snapshot that was dumped."""

    rows: int
    checksum: str | None = None
    """Of its rows, in any order; None when nobody computed one."""
    sampled: bool = False
    """The checksum is of the last rows by primary key only."""


@dataclass(frozen=True, slots=True)
class Database(Record):
    """The PostgreSQL database; all of one snapshot."""

    name: str
    server_version: str
    """`17.10`."""
    dump_version: str
    """Of pg_dump."""
    system_identifier: str | None
    """Of the cluster; None when the role may not know it."""
    lsn: str
    """Position in the write-ahead log."""
    encoding: str
    newest: dict[str, str | None]
    """`table.column` to the newest time in it, UTC."""
    newest_row: str | None
    """The newest of those."""
    size: int
    """Bytes of the database on its server."""
    tables: dict[str, Table]
    """`schema.table` of each."""
    sequences: dict[str, int | None]
    """Last value, as the dump restores it; None when it was never used."""
    extensions: dict[str, str]
    """Name to version."""
    indexes: list[str]
    """`schema.name` of the valid ones."""
    constraints: int
    settings: dict[str, str]
    """What the server was told otherwise than by default, without secrets."""
    roles: list[str]
    locale: dict[str, str] = field(default_factory=dict)
    """How it sorts: `provider` (`c` libc, `i` ICU, `b` builtin), `collate`, `ctype`, `locale`, `rules`; empty: nobody asked."""
    excluded: list[str] = field(default_factory=list)
    """Those of the tables whose rows were left out on purpose."""


@dataclass(frozen=True, slots=True)
class Cache(Record):
    """The Redis server."""

    server: str
    """`redis` or `valkey`."""
    version: str
    run_id: str
    keys: dict[str, int]
    """Number of the database to how many keys the snapshot has there."""
    expires: dict[str, int]
    """The same of keys that expire."""
    replication: str | None = None
    """Id of the history of writes that the snapshot is a moment of, as it says itself."""


@dataclass(frozen=True, slots=True)
class File(Record):
    """One file or symbolic link."""

    size: int
    mode: int
    mtime: float
    sha256: str
    """Empty for a link."""
    backup: str
    """ID of the backup whose `files.tar.zst` has it; empty for a link, which stands only here."""
    link: str | None = None
    """Where a symbolic link leads."""


@dataclass(frozen=True, slots=True)
class Stored(Record):
    """One file of the backup's own folder, as it was before anybody encrypted it."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest(Record):
    """One backup."""

    id: str
    """UTC, sortable: `20261122T180305Z`, with `-2` when that was taken."""
    system: str
    environment: str
    created: str
    """When it was begun; what the database holds is of a moment shortly after."""
    finished: str
    software: str
    """`pytest-runbook 0.1.0`."""
    release: str | None = None
    """Version of the system that was deployed."""
    schema: str | None = None
    """Revision of the migrations."""
    database: Database | None = None
    cache: Cache | None = None
    files: dict[str, File] | None = None
    """`root/relative/path`, or `root` alone where that names a single file."""
    stored: dict[str, Stored] = field(default_factory=dict)
    """Every file of the folder but those that end in `.json` and tell of the others."""
    version: int = VERSION

    def is_of(self, system: System) -> bool:
        """Whether it is of SYSTEM, in the same environment."""
        return (self.system, self.environment) == (system.name, system.environment)

    @property
    def moment(self) -> datetime:
        """When it was begun."""
        return clock.parse(self.created)

    @property
    def size(self) -> int:
        """Bytes of the folder."""
        return sum(one.size for one in self.stored.values())

    @property
    def needs(self) -> set[str]:
        """IDs of the other backups that hold files of this one."""
        return {one.backup for one in (self.files or {}).values() if one.backup} - {self.id}

    def text(self) -> str:
        """The content of `manifest.json`."""
        return json.dumps(self.to_json(), indent=1, ensure_ascii=False, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, data: Mapping[str, Any] | bytes | str) -> Manifest:
        """The manifest that DATA, text or what it says, holds; BackupError with its reason when it is none."""
        from pydantic import ValidationError

        try:
            found = json.loads(data) if isinstance(data, bytes | str) else dict(data)
        except ValueError as error:
            raise BackupError(f'"{MANIFEST}" is no JSON: {error}', reason="corrupt") from None
        version = found.get("version") if isinstance(found, dict) else None
        if isinstance(version, int) and version > VERSION:
            raise BackupError(
                f'"{MANIFEST}" is of version "{version}", this software knows up to "{VERSION}"\n'
                "  hint: update pytest-runbook here as well",
                reason="unknown-version",
            )
        try:
            manifest: Manifest = _adapter().validate_python(found)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"]))
            raise BackupError(f'"{MANIFEST}" is none: "{place}": {first["msg"].lower()}', reason="corrupt") from None
        if not ID.fullmatch(manifest.id):
            raise BackupError(f'"{MANIFEST}" has the id "{manifest.id}", which is none', reason="corrupt")
        return manifest

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """The JSON Schema of `manifest.json`."""
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "Manifest of a backup of pytest-runbook",
            **_adapter().json_schema(),
        }


@cache
def _adapter() -> Any:
    from pydantic import TypeAdapter  # late: whoever only makes a manifest needs none

    return TypeAdapter(Manifest)

"""What a backup says of itself: what it holds, of which moment, from where; `manifest.json`, versioned."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, BinaryIO

from pytest_runbook import clock
from pytest_runbook.backup.filelist import File, Files, Reader
from pytest_runbook.errors import BackupError
from pytest_runbook.model import Record

if TYPE_CHECKING:
    from pytest_runbook.settings.schema import System

VERSION = 2
"""Of the shape below; raised when a reader of the old one would be wrong. 1 knew no folders."""
MANIFEST, VERIFIED, REFUTED, RESTORED = "manifest.json", "verified.json", "refuted.json", "restored.json"
DATABASE, ROLES, CACHE, FILES = "database", "roles.sql", "cache.rdb", "files.tar.zst"
HASHING = 4
"""How checksums of rows are computed; 1 took the OIDs of enums and objects for their values, which no other server has, before
3 the last rows by a key of text were those that the locale sorted last, which differs from machine to machine, and before 4
objects of the schema `public` were named without it.
"""
ID = re.compile(r"\d{8}T\d{6}Z(-\d+)?")
WRITTEN: Mapping[str, Any] = {"ensure_ascii": False, "sort_keys": True}
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
    """Those of the tables whose rows were left out on purpose, or that a standby has no rows of."""
    hashing: int = 1
    """How the checksums of rows were computed, `HASHING`."""
    objects: dict[str, int] = field(default_factory=dict)
    """How many `functions`, `triggers`, `policies`, `views`, `materialised views`, `large objects`, `publications`,
    `subscriptions`, `event triggers`, `foreign servers`, `user mappings`; empty: nobody asked."""
    properties: dict[str, str] = field(default_factory=dict)
    """`comment`, `setting work_mem`, `setting search_path of ROLE`: what the database itself was given, as hashes, since some
    of it is secret; empty: nothing, or nobody asked."""
    unsaved: list[str] = field(default_factory=list)
    """What the dump has not, in words that end with a comma or a name: `settings of the subscription "feed", …`."""
    warnings: list[str] = field(default_factory=list)
    """What pg_dump warned of."""


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
class Stored(Record):
    """One file of the backup's own folder, as it was before anybody encrypted it."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Listed(Record):
    """What the list of files comes to; it stands before the list, which may be long."""

    needs: list[str]
    """IDs of the other backups that hold files of this one."""
    bytes: int
    """Size of all files, wherever they are stored."""


@dataclass(frozen=True, slots=True)
class Head(Record):
    """One backup, in short: all but its list of files."""

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
    excluded: list[str] | None = None
    """Patterns of files that were left out on purpose; None: no files were backed up, or its software did not say it."""
    stored: dict[str, Stored] = field(default_factory=dict)
    """Every file of the folder but those that end in `.json` and tell of the others."""
    listed: Listed | None = field(default=None, compare=False)
    """None: no files were backed up, or its software did not say it."""
    safety: bool = False
    """A restore made it, of what was there before: it may hold the damage that the restore was to mend."""
    version: int = VERSION

    @classmethod
    def read(cls, stream: BinaryIO) -> Head:
        """The head of the manifest in STREAM, which is read up to its list of files; all of it where that comes earlier."""
        return _read(stream, short=True)

    @property
    def summary(self) -> Listed | None:
        """What the list of files comes to; None when no files were backed up."""
        return self.listed

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
        return set(found.needs) if (found := self.summary) else set()

    @property
    def held(self) -> int:
        """Bytes of all its files, also of those that other backups hold."""
        return found.bytes if (found := self.summary) else 0


@dataclass(frozen=True, slots=True)
class Manifest(Head):
    """One backup."""

    files: Mapping[str, File] | None = None
    """`root/relative/path`, or `root` alone where that names a single file; on disk, not in memory, when it was read."""

    @property
    def summary(self) -> Listed | None:
        """The same of the list itself, whatever stands before it."""
        if self.files is None:
            return None
        files = self.files if isinstance(self.files, Files) else Files(self.files)
        return Listed(sorted(files.holders - {self.id}), files.bytes)

    def text(self) -> str:
        """The content of `manifest.json`."""
        return "".join(self.pieces())

    def pieces(self) -> Iterator[str]:
        """The same piece by piece: what is short first, then a line for each file."""
        shown = replace(self, files=None, listed=None).to_json()
        del shown["files"], shown["listed"]
        head = json.dumps(shown, **WRITTEN, indent=1).removesuffix("\n}")
        found = self.summary
        listed = json.dumps(found and found.to_json(), **WRITTEN)
        yield f'{head},\n "listed": {listed},\n "files": {"null" if self.files is None else "{"}'
        between = ""
        for name, file in (self.files or {}).items():
            yield f"{between}\n  {json.dumps(name, **WRITTEN)}: {json.dumps(file.to_json(), **WRITTEN)}"
            between = ","
        yield "\n}\n" if self.files is None else "\n }\n}\n"

    @classmethod
    def parse(cls, data: bytes | str) -> Manifest:
        """The manifest that DATA holds; BackupError with its reason when it is none."""
        return cls.read(io.BytesIO(data.encode() if isinstance(data, str) else data))

    @classmethod
    def read(cls, stream: BinaryIO) -> Manifest:
        """The manifest in STREAM, of which the list of files never is in memory."""
        found = _read(stream, short=False)
        assert isinstance(found, Manifest)
        return found

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """The JSON Schema of `manifest.json`."""
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "Manifest of a backup of pytest-runbook",
            **_adapter("Manifest").json_schema(),
        }


def _read(stream: BinaryIO, *, short: bool) -> Head:
    """The manifest in STREAM; only its head when SHORT, and when that comes before the list of files."""
    try:
        found, files, wrong = _parts(Reader(stream), short)
    except ValueError as error:
        raise BackupError(f'"{MANIFEST}" is no JSON: {error}', reason="corrupt") from None
    version = found.get("version")
    if isinstance(version, int) and version > VERSION:
        raise BackupError(
            f'"{MANIFEST}" is of version "{version}", this software knows up to "{VERSION}"\n'
            "  hint: update pytest-runbook here as well",
            reason="unknown-version",
        )
    if wrong:
        raise wrong
    head: Head = _valid("Head" if short and files is None else "Manifest", found)
    if not ID.fullmatch(head.id):
        raise BackupError(f'"{MANIFEST}" has the id "{head.id}", which is none', reason="corrupt")
    return replace(head, files=files) if isinstance(head, Manifest) and files is not None else head


def _parts(reader: Reader, short: bool) -> tuple[dict[str, Any], Files | None, BackupError | None]:
    """What READER finds but the files; the files; what is wrong with the first bad one of them.

    When SHORT, nothing is read from the files on, if it was told before what they come to.
    """
    if reader.ahead() not in ("{", ""):
        raise BackupError(f'"{MANIFEST}" is none: it is no object', reason="corrupt")
    found: dict[str, Any] = {}
    files: Files | None = None
    wrong: BackupError | None = None
    for key in reader.members():
        if key != "files" or reader.ahead() != "{":
            found[key] = reader.value()
            continue
        if short and found.get("listed"):
            return found, None, None
        files = Files()
        for name in reader.members():
            try:
                files[name] = _valid("File", reader.value(), f"files.{name}.")
            except BackupError as error:
                wrong = wrong or error
    if reader.ahead():
        raise ValueError("something comes after its end")
    return found, files, wrong


def _valid(shape: str, found: Any, where: str = "") -> Any:
    """FOUND as a SHAPE."""
    from pydantic import ValidationError

    try:
        return _adapter(shape).validate_python(found)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = where + ".".join(map(str, first["loc"]))
        raise BackupError(f'"{MANIFEST}" is none: "{place}": {first["msg"].lower()}', reason="corrupt") from None


@cache
def _adapter(shape: str) -> Any:
    from pydantic import TypeAdapter  # late: whoever only makes a manifest needs none

    return TypeAdapter({"Manifest": Manifest, "Head": Head, "File": File}[shape])

"""Settings of backups: what belongs to one, where copies lie, how long they are kept, and what encrypts them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Self

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    SerializeAsAny,
    model_validator,
)

from pytest_runbook.backup import destinations
from pytest_runbook.backup.destinations.base import DestinationSettings
from pytest_runbook.settings.schema import Name, Section, Words, of_kind


class DatabasePart(Section):
    """The PostgreSQL database of a backup."""

    probe: str = ""
    """The probe that says where it is; empty: no database belongs to a backup."""
    user: str = ""
    """Role that dumps, when the probe's may not read everything."""
    password: SecretStr = SecretStr("")
    jobs: PositiveInt = 2
    """Tables that are dumped at once; each takes a connection."""
    compression: Annotated[int, Field(ge=0, le=19)] = 1
    """Level of zstd, or of gzip where pg_dump has no zstd; 0: none."""
    exclude: Words = ()
    """Tables whose rows are left out, as pg_dump's --exclude-table-data takes them."""
    newest: Words = ()
    """`table.column` of times: the newest of them says how much a restore would lose."""
    revision: str = "alembic_version.version_num"
    """`table.column` that holds the revision of the migrations; without such a table there is none."""
    checksum_rows: NonNegativeInt = 1_000_000
    """Of a larger table only the last so many rows by primary key are compared, not all."""
    timeout: PositiveFloat = 14_400.0
    """Seconds that the dump may take."""


class CachePart(Section):
    """The Redis server of a backup."""

    probe: str = ""
    """The probe that says where it is; empty: no cache belongs to a backup."""
    timeout: PositiveFloat = 3_600.0
    """Seconds that the snapshot and its way here may take."""


class FilesPart(Section):
    """Folders and files of a backup, on the machine that makes it."""

    roots: dict[Name, Path] = Field(default={})
    """Name in the backup to folder or file. Where it is a link, what it leads to is backed up."""
    optional: tuple[Name, ...] = ()
    """Those of the roots that may be missing; without any other no backup is made: a disk may not be mounted."""
    configuration: tuple[Name, ...] = ()
    """Those of the roots that are configuration, not data: `--only config` restores them alone."""
    exclude: Words = ()
    """Patterns of paths below the roots that are left out: `uploads/tmp/*`."""

    @model_validator(mode="after")
    def _known(self) -> Self:
        for key, names in (("configuration", self.configuration), ("optional", self.optional)):
            if wrong := [name for name in names if name not in self.roots]:
                raise ValueError(f'{key} names "{wrong[0]}", which is none of roots')
        return self


class Encryption(Section):
    """Keys of the destinations with `encrypted = true`, in the format of age (age-encryption.org)."""

    recipients: Words = ()
    """Public keys, `age1…`, or ssh ones; whoever has one of the private keys can read the backups."""
    identity_file: Path | None = None
    """File with private keys, to read backups back; readable by its owner only."""
    identity_command: tuple[str, ...] = ()
    """Command that writes the private keys to its output, in place of a file: a list of arguments."""


class Retention(Section):
    """Which backups are removed. The newest one being unverified stops all of it."""

    days: PositiveFloat = 30.0
    """Older ones are removed."""
    verified: PositiveInt = 3
    """So many of the newest verified ones stay, however old."""


class Programs(Section):
    """Where PostgreSQL's and Redis' programs are, when that is not PATH, pg_config or /usr/lib/postgresql."""

    postgresql: Path | None = None
    """Folder of pg_dump, pg_restore, initdb, …; not older than the server."""
    redis: Path | None = None
    """redis-server or valkey-server."""


Destinations = dict[
    Name, Annotated[SerializeAsAny[DestinationSettings], BeforeValidator(partial(of_kind, destinations))]
]


class Backup(Section):
    """What `runbook backup` makes."""

    destinations: Destinations = Field(default={})
    """Where copies lie; those beside `local` get a copy of each backup."""
    local: Name = "local"
    """The destination, of kind folder, where a backup is made before it is copied."""
    database: DatabasePart = DatabasePart()
    cache: CachePart = CachePart()
    files: FilesPart = FilesPart()
    encryption: Encryption = Encryption()
    retention: Retention = Retention()
    programs: Programs = Programs()
    release: str = ""
    """Version of the system that is deployed: a backup says of which it is."""
    reread: NonNegativeFloat = 7.0
    """Days for which an archive of an earlier backup that was read back off-site, and is there as it was, is not read again
    by the next ones; 0: it always is. A verification by hand reads everything."""
    room: NonNegativeFloat = 1.2
    """Free disk, in sizes of the last backup and of what its copies take here meanwhile, without which none is begun."""

    @model_validator(mode="after")
    def _encrypted(self) -> Self:
        wanting = sorted(name for name, one in self.destinations.items() if one.encrypted)
        if wanting and not self.encryption.recipients:
            raise ValueError(f'the destination "{wanting[0]}" is encrypted and encryption.recipients is empty')
        if self.local in wanting:
            raise ValueError(f'the local destination "{self.local}" cannot be encrypted: programs read it as it is')
        return self

"""Settings of restores and drills: what is stopped, who may replace a database, how long it may take and cost."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, SecretStr

from pytest_runbook.settings.schema import Name, Section, Words


class Restore(Section):
    """How a backup is put back into production."""

    admin: SecretStr = SecretStr("")
    """URI of a role that may create and rename databases; empty: the role that backs up has to be one."""
    stop: tuple[Name, ...] = ()
    """Services that are stopped, together, while data are exchanged under them, and started again."""
    cache: Name | None = None
    """The service that is the cache: stopped after the others, started before them; none: no cache is restored."""
    cache_folder: Path | None = None
    """Its data folder as this machine calls it, when the server calls it otherwise: a volume of a container."""
    jobs: PositiveInt = 4
    """Tables that are restored at once."""
    checks: str = "postdeploy"
    """As `pytest -m` takes it: what has to be true before what was there is given up; empty: nothing is looked at."""
    revisions: Words = ()
    """Revisions of the migrations that the deployed release knows, the newest last: a backup of another one is refused.
    Empty: one is refused that came after the revision in use, as far as facts, database and backups tell.
    """
    journal: Path = Path("var/restores")
    """Folder of the journals of restores. Relative to the root folder."""
    timeout: PositiveFloat = 14_400.0
    """Seconds that one phase may take."""
    stopping: PositiveFloat = 60.0
    """Seconds that a service may take to stop, or to start."""


class DrillService(Section):
    """A service of the system that is started on what was restored, as an ordinary process of this machine."""

    command: tuple[str, ...] = ()
    """Argument list; empty: none is started. `{port}` stands for a free port, `{files}` for the folder of restored files."""
    environment: dict[str, str] = Field(default={})
    """Its variables; besides those above `{database}` and `{cache}` stand for the URIs of the scratch servers."""
    probe: str = ""
    """The probe, of kind http, that looks at it."""
    health: str = "/health"
    """Path that answers 200 when it serves."""
    timeout: PositiveFloat = 60.0
    """Seconds that it may take to serve."""


class Drill(Section):
    """How it is proven that backups can be restored."""

    source: str = ""
    """The destination that a disaster would leave; empty: the first one that is not the local one."""
    rto: PositiveFloat = 3_600.0
    """Seconds within which a restored system has to serve."""
    rpo: PositiveFloat = 93_600.0
    """Seconds of data that a disaster may cost."""
    jobs: PositiveInt = 4
    """Tables that are restored at once."""
    folder: Path | None = None
    """Folder below which scratch servers live; none: the machine's folder for temporary files. It needs room for all data."""
    server: SecretStr = SecretStr("")
    """URI of a PostgreSQL server to restore into, where none can be started here; never one of production."""
    checks: str = "recovery"
    """As `pytest -m` takes it: checks that look at what was restored; empty: none."""
    service: DrillService = DrillService()
    reports: Path = Path("var/drills")
    """Folder of certificates. Relative to the root folder."""
    checksum_rows: NonNegativeInt = 1_000_000
    """Rows whose checksums are compared, about: of all small tables, and of large ones by chance. 0: of all tables.
    Rows are counted in every table.
    """
    amcheck: bool = True
    """Look into the B-trees of the same tables for entries out of order, where the server has the extension amcheck."""
    ignore: Words = ()
    """Tables, as `schema.table`, that are not compared."""
    timeout: PositiveFloat = 14_400.0
    """Seconds that one phase may take."""

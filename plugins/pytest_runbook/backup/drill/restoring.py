"""The part of a drill that users would wait for: servers of our own, and everything of the backup put into them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pytest_runbook.backup import programs
from pytest_runbook.backup.comparing import Proof
from pytest_runbook.backup.drill import refusal
from pytest_runbook.backup.drill.service import serving
from pytest_runbook.backup.drill.stopwatch import Stopwatch
from pytest_runbook.backup.manifest import CACHE, DATABASE, FILES, ROLES, Database, Manifest
from pytest_runbook.backup.postgresql import Server
from pytest_runbook.backup.restore import fetching, files, room, together
from pytest_runbook.backup.restore.cache import ScratchRedis
from pytest_runbook.backup.restore.database import Restoring, place
from pytest_runbook.backup.restore.exchange import drop_database
from pytest_runbook.backup.restore.postgresql import ScratchPostgresql
from pytest_runbook.backup.restore.room import Need
from pytest_runbook.backup.restore.together import GivenUp
from pytest_runbook.backup.verdict import Fault
from pytest_runbook.errors import BackupError, RestoreError

if TYPE_CHECKING:
    from pytest_runbook.backup.destinations import Destination
    from pytest_runbook.settings import Settings

MAIN, BESIDE = "postgres", "template1"
"""The databases that are always there, to make others from; the second makes the first."""
C = {"collate": "C", "ctype": "C"}
"""The locale that every server has."""
LOCKS = "max_locks_per_transaction"
BLOCK = 4096
"""Bytes of a disk by which a file grows."""
CLUSTER = 64_000_000
"""Bytes of a PostgreSQL cluster without a database of ours: what initdb makes, and the first of its log."""
OWNERS = ("--no-owner", "--no-acl")
"""On a server that is not ours the roles of the backup are not made."""


@dataclass
class Restored:
    """What was restored, and where it is; None for what was not, or not yet."""

    database: Server | None = None
    roles: list[str] = field(default_factory=list)
    """Statements about roles that the server refused."""
    left_out: list[str] = field(default_factory=list)
    """What is not as it was because the server of the drill is another one."""
    cache: ScratchRedis | None = None
    files: Path | None = None
    url: str | None = None
    """Of the service that was started on it."""
    faults: list[Fault] = field(default_factory=list)

    @property
    def places(self) -> Mapping[str, str]:
        """What a service is told of it."""
        return {
            "database": uri(self.database) if self.database else "",
            "cache": self.cache.uri if self.cache else "",
            "files": str(self.files or ""),
        }


@dataclass
class ScratchRestore:
    """Restores one backup into the scratch folder HOME; STACK ends what it starts."""

    settings: Settings
    destination: Destination
    manifest: Manifest
    home: Path
    watch: Stopwatch
    stack: ExitStack
    seen: Restored = field(default_factory=Restored)
    scratch: ScratchPostgresql | None = None
    given_up: GivenUp = field(default_factory=GivenUp)

    def run(self) -> Restored:
        """Everything, side by side, without a service on it: that would write into it, and has to wait for who compares.

        Faults of one part leave the others alone. RestoreError when it must not go on.
        """
        room.insist([Need(self.home, self._needed(), "make room, or set drill.folder to a folder that has it")])
        parts = {"database": self._database, "cache": self._cache, "files": self._files}
        held = [part for name, part in parts.items() if getattr(self.manifest, name) is not None]
        together.work(held, self.home, self.given_up)
        return self.seen

    def serve(self) -> tuple[list[Proof], list[Fault]]:
        """Start the service on what was restored, if that was whole; what shows that it serves, and that it does not."""
        own = self.settings.drill.service
        if not own.command:
            self.seen.left_out.append("no service was started on what was restored: drill.service.command is empty")
        if not own.command or self.seen.faults:
            return [], []
        with self.watch.phase("service", "a service is started on what was restored") as phase:
            try:
                self.seen.url = self.stack.enter_context(serving(own, self.home, self.seen.places))
            except RestoreError as error:
                phase.outcome = "failed"
                return [], [Fault("not-restored", "service", str(error))]
        return [Proof(f"service, by its answer to {own.health}", "200", "200", ok=True)], []

    def _needed(self) -> int:
        """Bytes: of what is fetched, of all files, whichever backup holds them, and of the cluster that is made here."""
        fetched = sum(one.size for name, one in self.manifest.stored.items() if name != FILES)
        files = self.manifest.held + BLOCK * len(self.manifest.files or ())
        own = self.manifest.database if not self._foreign else None
        return fetched + files + (own.size + CLUSTER if own else 0)

    def _database(self) -> None:
        told = self.manifest.database
        assert told
        with ThreadPoolExecutor(1) as pool:
            server = pool.submit(self._server, told)
            folder = self.home / "fetched"
            names = [name for name in self.manifest.stored if name.startswith(f"{DATABASE}/") or name == ROLES]
            whole = self._fetched("database", names, folder)
            found = server.result()
        if found is None or not whole:
            return
        with self.watch.phase("database", "the database is restored") as phase:
            faults = self._filled(found, folder, told)
            phase.outcome = "failed" if faults else phase.outcome
            self.seen.faults += faults

    def _server(self, told: Database) -> Server | None:
        """A server to restore into, as its superuser; never one that is in use."""
        given = self.settings.drill.server.get_secret_value()
        with self.watch.phase(
            "server", "a PostgreSQL server is started" if not given else "the given server is looked at"
        ):
            found = _given(given) if given else self._own(told)
            refusal.database(found, self.settings, self.manifest)
            if given:
                self._alone(found)
            self.seen.left_out += _another_release(found, told)
            self._emptied(found, told)
            return found

    def _alone(self, server: Server) -> None:
        """Keep other drills, of any machine, out of the given SERVER until ours ends: they use the same names."""
        session = self.stack.enter_context(server.connect(dbname=MAIN))
        row = session.execute("SELECT pg_try_advisory_lock(hashtext('runbook drill'))").fetchone()
        if not row or not row[0]:
            raise RestoreError("another drill uses the server of drill.server\n  hint: wait until it has ended")

    def _own(self, told: Database) -> Server:
        bindir = place(self.settings, told, "initdb", "postgres")
        self.scratch = self.stack.enter_context(ScratchPostgresql(self.home, bindir, {LOCKS: str(locks(told))}))
        self.scratch.create()
        self.scratch.start()
        return Server("scratch", self.scratch.address())

    def _emptied(self, server: Server, told: Database) -> None:
        """An empty database on SERVER for the one that the backup TOLD of, which sorts as that does, if SERVER can."""
        name = self._name(told)
        beside = Server(server.name, {**server.address, "dbname": BESIDE}) if name == MAIN else server
        if self._foreign or name == MAIN:
            drop_database(beside, name)
        if self._foreign:
            self.stack.callback(drop_database, server, name)
        restoring = replace(self._restoring(server, told), server=beside)
        for locale in _locales(told.locale):
            try:
                restoring.create(name, told.encoding or "UTF8", locale=locale)
                break
            except BackupError:
                if locale == C:
                    raise
        if locale != told.locale:
            self.seen.left_out.append(
                f"the database sorts as {_words(locale)}: the server of the drill has not {_words(told.locale)}"
            )

    def _filled(self, server: Server, folder: Path, told: Database) -> list[Fault]:
        name, restoring = self._name(told), self._restoring(server, told)
        if ROLES in self.manifest.stored and not self._foreign:
            self.seen.roles = restoring.roles((folder / ROLES).read_text(encoding="utf-8"))
        faults = restoring.fill(name, folder / DATABASE, self.manifest)
        if self._foreign:
            self.seen.left_out.append(
                "owner, rights and settings of the database were not restored on the given server"
            )
        elif not faults:
            faults = _refused(lambda: restoring.properties(name, folder / DATABASE, told)[1])
        if not faults:
            self.seen.database = Server("scratch", {**server.address, "dbname": name})
        return faults

    @property
    def _foreign(self) -> bool:
        """Whether the server is one that somebody else runs."""
        return bool(self.settings.drill.server.get_secret_value())

    def _name(self, told: Database) -> str:
        return f"runbook_drill_{self.manifest.id.lower().replace('-', '_')}" if self._foreign else told.name

    def _restoring(self, server: Server, told: Database) -> Restoring:
        own, near = self.settings.drill, Server("scratch", self.scratch.near()) if self.scratch else server
        options = OWNERS if self._foreign else ()
        return Restoring(place(self.settings, told), near, own.jobs, own.timeout, str(self.home), options)

    def _cache(self) -> None:
        if not self._fetched("cache", [CACHE], self.home / "fetched-cache"):
            return
        with self.watch.phase("cache", "the cache is restored") as phase:
            told = self.manifest.cache
            assert told
            least = int(told.version.partition(".")[0]) if told.server == "redis" else 0
            program = programs.redis(self.settings.backup.programs.redis, least=least)
            server = self.stack.enter_context(ScratchRedis(self.home, program, timeout=self.settings.drill.timeout))
            server.place(self.home / "fetched-cache" / CACHE)
            try:
                server.start()
            except RestoreError as error:
                phase.outcome = "failed"
                self.seen.faults.append(Fault("not-a-dump", CACHE, " ".join(str(error).split())))
                return
            self.seen.cache = server

    def _files(self) -> None:
        with self.watch.phase("files", "the files are restored") as phase:
            self.seen.files = self.home / "files"
            faults = files.restore(self.destination, self.manifest, self.seen.files, given_up=self.given_up)
            phase.outcome = "failed" if faults else phase.outcome
            self.seen.faults += faults

    def _fetched(self, what: str, names: list[str], folder: Path) -> bool:
        """Bring NAMES into FOLDER; whether they are whole."""
        with self.watch.phase(f"fetch-{what}", f"the {what} is fetched and its checksums are compared") as phase:
            known = [name for name in names if name in self.manifest.stored]
            faults = [Fault("missing", name, "the manifest does not know it") for name in names if name not in known]
            if not names:
                faults = [Fault("missing", what, "the manifest knows no file of it")]
            faults += fetching.fetch(self.destination, self.manifest, known, folder, self.given_up)
            phase.outcome = "failed" if faults else phase.outcome
            self.seen.faults += faults
        return not faults


def locks(told: Database) -> int:
    """Of each session: together they have room for all that TOLD names, as one takes who asks a parent of many partitions."""
    return 64 + (len(told.tables) + len(told.indexes) + len(told.sequences)) // 50


def _another_release(server: Server, told: Database) -> Iterator[str]:
    """What restoring into SERVER does not prove of a server such as the backup TOLD of."""
    with server.connect() as session:
        here = session.info.server_version // 10000
    if str(here) != (there := told.server_version.partition(".")[0]):
        yield f"the server of the drill is PostgreSQL {here}, that of the backup {there}: nobody restored into one of those"


def _locales(told: Mapping[str, str]) -> list[Mapping[str, str]]:
    """TOLD, of a manifest, and what comes next to it for a server that does not know it."""
    if not told:
        return [told]
    return [told, {**told, "collate": "C", "ctype": "C.UTF-8"}, {**told, **C}, {"collate": "C", "ctype": "C.UTF-8"}, C]


def _refused(give: Callable[[], list[str]]) -> list[Fault]:
    """What the server says against what GIVE does, which returns the statements that it refused."""
    try:
        problems = give()
    except BackupError as error:
        problems = [" ".join(str(error).split())]
    return [Fault("not-restored", "database", f"its owner, rights or settings: {problem}") for problem in problems]


def _words(locale: Mapping[str, str]) -> str:
    return ", ".join(f'{word} "{locale[word]}"' for word in ("collate", "ctype", "locale") if word in locale)


def uri(server: Server) -> str:
    """The address of SERVER as one URI, with its password."""
    a: Mapping[str, Any] = server.address
    who = quote(str(a.get("user", "")), safe="") + (
        f":{quote(str(a['password']), safe='')}" if a.get("password") else ""
    )
    return f"postgresql://{who}@{a.get('host', 'localhost')}:{a.get('port', 5432)}/{quote(str(a.get('dbname', MAIN)), safe='')}"


def _given(text: str) -> Server:
    """The server at the URI TEXT."""
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:
        return Server("drill.server", {"dbname": MAIN, **conninfo_to_dict(text)})
    except ProgrammingError:  # its own message would quote the URI, password and all
        raise RestoreError(
            "drill.server is no PostgreSQL URI\n  hint: postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
        ) from None

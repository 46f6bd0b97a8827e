"""PostgreSQL: a primary with the system's tables and pg_stat_statements, and a standby that streams from it."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from pytest_runbook import become

from lab import binaries
from lab.servers import Process, Server, unprivileged_user
from lab.site import HOST, LabError, Site, write_private
from lab.waiting import NotReady

DATABASE = ROLE = "nightscan"
SLOT = "standby"
INDEXES = [
    "prediction_user_created ON prediction (user_id, created_at DESC)",
    "detection_detected_at ON detection (detected_at)",
]
"""Those that schema.sql makes and that queries need."""


class PostgreSQL(Server):
    """What primary and standby share."""

    fronted = True

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.site.path(self.name)

    def process(self) -> Process:
        """The server in the foreground, never as root; INT is its fast shutdown."""
        command = [str(binaries.postgresql() / "postgres"), "-D", str(self.data)]
        return Process(command, self.data, user=unprivileged_user(), stop_signal="INT")

    def configure(self, settings: dict[str, str]) -> None:
        """Write the configuration; the ports may be others than at the last start."""
        lines = [
            f"{key} = '{value.replace(chr(39), chr(39) * 2)}'" for key, value in {**common(self), **settings}.items()
        ]
        self._own(self.data / "lab.conf", "\n".join(lines) + "\n")
        main = self.data / "postgresql.conf"
        if "lab.conf" not in main.read_text():
            with main.open("a") as file:
                file.write("\ninclude 'lab.conf'\n")
        access = [
            "local all all scram-sha-256",
            f"host all all {HOST}/32 scram-sha-256",
            f"host replication replication {HOST}/32 scram-sha-256",
        ]
        self._own(self.data / "pg_hba.conf", "\n".join(access) + "\n")

    def _own(self, path: Path, text: str) -> None:
        write_private(path, text)
        give_away(path)

    def connect(self, user: str = "postgres", database: str = "postgres") -> psycopg.Connection[tuple[Any, ...]]:
        """A connection past the fault proxy, to prepare or to look."""
        secret = {"postgres": "database-admin", ROLE: "database"}[user]
        try:
            return psycopg.connect(
                host=HOST,
                port=self.site.port(self.name),
                user=user,
                password=self.site.secret(secret),
                dbname=database,
                connect_timeout=3,
                autocommit=True,
            )
        except psycopg.OperationalError as error:
            raise NotReady(str(error).strip()) from error

    def ask(self, statement: str) -> Any:
        """The first row of a statement's answer."""
        with self.connect() as connection:
            return connection.execute(statement.encode()).fetchone()

    def clean(self) -> None:
        """A killed server leaves its shared memory segment; the number stands in its pid file."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
            segment = int(lines[6].split()[1])
        except (OSError, IndexError, ValueError):
            return
        ctypes.CDLL(None).shmctl(segment, 0, None)


class Database(PostgreSQL):
    """The primary."""

    name = "database"
    ports = ("database",)

    def prepare(self) -> None:
        """Make the cluster, whole or not at all."""
        if not (self.data / "PG_VERSION").is_file():
            fresh = new_folder(self.site, "database.new")
            password = self.site.path("database.password")
            write_private(password, self.site.secret("database-admin"))
            give_away(password)
            run(
                self.site,
                [
                    "initdb",
                    "-D",
                    fresh,
                    "-U",
                    "postgres",
                    "--pwfile",
                    password,
                    "--auth=scram-sha-256",
                    "--no-locale",
                    "-E",
                    "UTF8",
                    "--no-sync",
                ],
            )
            password.unlink()
            fresh.rename(self.data)
        self.configure({"wal_level": "replica", "max_wal_senders": "5", "max_replication_slots": "5"})

    def ready(self) -> None:
        """It accepts writes."""
        if self.ask("SELECT pg_is_in_recovery()") != (False,):
            raise NotReady("still in recovery")

    def settle(self) -> None:
        """Roles, database, extension, slot, tables: each only where it is missing."""
        with self.connect() as connection:
            self._roles(connection)
            slots = connection.execute("SELECT 1 FROM pg_replication_slots WHERE slot_name = %s", [SLOT])
            if slots.fetchone() is None:
                connection.execute("SELECT pg_create_physical_replication_slot(%s, true)", [SLOT])
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone() is None:
                connection.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(DATABASE), sql.Identifier(ROLE))
                )
        with self.connect(database=DATABASE) as connection:
            connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
            self._rights(connection)
        with self.connect(ROLE, DATABASE) as connection:
            if connection.execute("SELECT to_regclass('alembic_version')").fetchone() == (None,):
                connection.execute(Path(__file__).with_name("schema.sql").read_bytes())
                connection.execute("ANALYZE")

    def _roles(self, connection: psycopg.Connection[Any]) -> None:
        # REPLICATION is for dropping a slot.
        roles = {ROLE: ("LOGIN REPLICATION", "database"), "replication": ("LOGIN REPLICATION", "replication")}
        for role, (rights, secret) in roles.items():
            exists = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone()
            command = "ALTER" if exists else "CREATE"
            connection.execute(
                sql.SQL("{} ROLE {} {} PASSWORD {}").format(
                    sql.SQL(command), sql.Identifier(role), sql.SQL(rights), sql.Literal(self.site.secret(secret))
                )
            )
        connection.execute(sql.SQL("GRANT pg_monitor, pg_signal_backend TO {}").format(sql.Identifier(ROLE)))

    def _rights(self, connection: psycopg.Connection[Any]) -> None:
        """What runbooks need beyond what checks need, for one function or setting each."""
        for function in ("pg_reload_conf()", "pg_wal_replay_pause()", "pg_wal_replay_resume()"):
            connection.execute(f"GRANT EXECUTE ON FUNCTION pg_catalog.{function} TO {ROLE}".encode())
        if connection.info.server_version >= 150000:
            connection.execute(f"GRANT ALTER SYSTEM ON PARAMETER default_transaction_read_only TO {ROLE}".encode())


class Standby(PostgreSQL):
    """The standby, a base backup of the primary that streams through a replication slot."""

    name = "standby"
    ports = ("standby",)
    needs = ("database",)

    @property
    def source(self) -> str:
        """The connection to the primary; past the fault proxy, which stands before the checks' and services' connections."""
        secret = self.site.secret("replication")
        return (
            f"host={HOST} port={self.site.port('database')} user=replication password={secret} application_name=standby"
        )

    def prepare(self) -> None:
        """Copy the primary, whole or not at all."""
        if not (self.data / "PG_VERSION").is_file():
            fresh = new_folder(self.site, "standby.new")
            run(
                self.site,
                [
                    "pg_basebackup",
                    "-D",
                    fresh,
                    "-d",
                    self.source,
                    "-S",
                    SLOT,
                    "-X",
                    "stream",
                    "--checkpoint=fast",
                    "--no-sync",
                ],
            )
            fresh.rename(self.data)
        self._own(self.data / "standby.signal", "")
        self.configure(
            {"primary_conninfo": self.source, "primary_slot_name": SLOT, "wal_retrieve_retry_interval": "200ms"}
        )

    def ready(self) -> None:
        """It answers, streams, and can tell how far behind it is: it has replayed a transaction."""
        seen = self.ask("SELECT status FROM pg_stat_wal_receiver")
        if seen != ("streaming",):
            raise NotReady(f"the wal receiver is {seen[0] if seen else 'not running'}")
        if self.ask("SELECT pg_last_xact_replay_timestamp()") == (None,):
            Database(self.site).ask("SELECT pg_current_xact_id()")  # a transaction, should nobody else make one
            raise NotReady("it has replayed no transaction yet")


def common(server: PostgreSQL) -> dict[str, str]:
    """Settings of primary and standby: production's shape at a laptop's size."""
    return {
        "port": str(server.site.port(server.name)),
        "listen_addresses": HOST,
        "unix_socket_directories": "",
        "max_connections": "60",
        "shared_buffers": "32MB",
        # In the data folder, so that a kill leaves nothing in /dev/shm.
        "dynamic_shared_memory_type": "mmap",
        "shared_preload_libraries": "pg_stat_statements",
        "pg_stat_statements.track": "all",
        "hot_standby_feedback": "on",
        # A standby that stays away must not fill the disk.
        "max_slot_wal_keep_size": "512MB",
        "jit": "off",
        # Kills lose nothing by it, only a crash of the machine would; and another program's writing is no lag of ours.
        "fsync": "off",
        "log_timezone": "UTC",
        "timezone": "UTC",
        "logging_collector": "off",
        "cluster_name": server.name,
    }


def new_folder(site: Site, name: str) -> Path:
    """An empty folder that the server's user owns."""
    folder = site.path(name)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    give_away(folder)
    return folder


def give_away(path: Path) -> None:
    """Make the server's user the owner of PATH, when that is not us."""
    become.give(path, unprivileged_user())


def run(site: Site, command: Sequence[str | Path]) -> None:
    """Run one of PostgreSQL's programs as the server's user."""
    program = [str(binaries.postgresql() / command[0]), *map(str, command[1:])]
    done = subprocess.run(
        become.command(unprivileged_user(), program), capture_output=True, text=True, check=False, cwd="/"
    )
    if done.returncode != 0:
        raise LabError(f"{command[0]} failed with status {done.returncode}\n{done.stderr.strip()}")

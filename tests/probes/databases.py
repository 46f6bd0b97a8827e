"""Real servers for the tests of the probes: PostgreSQL with a standby, Redis, and wires that go wrong."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import redis
from pytest_runbook import become
from pytest_runbook.probes.postgresql import Postgresql, PostgresqlSettings

from lab import binaries
from lab.servers import unprivileged_user

SECRET = "s3cret-of-the-test"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def until(look: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait until LOOK neither raises nor answers something false."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if look():
                return
        except (OSError, psycopg.Error, redis.RedisError):
            if time.monotonic() > deadline:
                raise
        assert time.monotonic() < deadline, f"{look} did not come true"
        time.sleep(0.02)


def as_server(command: list[str]) -> list[str]:
    """COMMAND, run by a user that PostgreSQL accepts: it refuses root."""
    return become.command(unprivileged_user(), command)


@contextmanager
def server_folder() -> Iterator[Path]:
    """A folder that the servers' user owns: pytest's own are closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="runbook-test-"))
    become.give(folder, unprivileged_user())
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


class PostgresServer:
    """One PostgreSQL server; its superuser is `admin`, its password SECRET."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self.folder, self.settings, self.port = folder, dict(settings), free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def program(self, name: str, *arguments: str) -> None:
        command = as_server([str(binaries.postgresql() / name), *arguments])
        subprocess.run(
            command, check=True, cwd="/", stdout=subprocess.DEVNULL, env={**os.environ, "PGPASSWORD": SECRET}
        )

    def create(self) -> None:
        password = self.folder.parent / "password"
        password.write_text(SECRET)
        options = ["-U", "admin", "--pwfile", str(password), "-A", "scram-sha-256", "--no-locale", "-E", "UTF8", "-N"]
        self.program("initdb", "-D", str(self.folder), *options)

    def start(self) -> None:
        own = {"port": str(self.port), "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off"}
        own |= {"dynamic_shared_memory_type": "mmap", "shared_buffers": "16MB", "wal_receiver_status_interval": "1s"}
        arguments = [part for key, value in {**own, **self.settings}.items() for part in ("-c", f"{key}={value}")]
        command = as_server([str(binaries.postgresql() / "postgres"), "-D", str(self.folder), *arguments])
        with (self.folder.parent / "log").open("ab") as log:
            self._process = subprocess.Popen(command, cwd="/", stdout=log, stderr=log)
        until(lambda: self.sql("SELECT 1"))

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """By SIGINT it waits for who is just coming in, by SIGQUIT for nobody; what hangs is killed."""
        if self._process:
            process, self._process = self._process, None
            process.send_signal(number)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def connect(self, user: str = "admin", database: str = "postgres") -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(self.uri(user, database), autocommit=True)

    def sql(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        with self.connect(database=database) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def uri(self, user: str = "admin", database: str = "postgres", port: int | None = None) -> str:
        return f"postgresql://{user}:{SECRET}@127.0.0.1:{port or self.port}/{database}"


@contextmanager
def postgres_pair() -> Iterator[tuple[PostgresServer, PostgresServer]]:
    """A primary with database `shop` (and its extension), a role without rights, and a standby that streams."""
    with server_folder() as folder:
        shared = {"shared_preload_libraries": "pg_stat_statements"}
        primary, standby = PostgresServer(folder / "primary", shared), PostgresServer(folder / "standby", shared)
        try:
            primary.create()
            primary.start()
            primary.sql("CREATE DATABASE shop")
            primary.sql(f"CREATE ROLE guest LOGIN PASSWORD '{SECRET}'")
            primary.sql("CREATE EXTENSION pg_stat_statements", "shop")
            source = primary.uri().replace("/postgres", "/replication")
            primary.program(
                "pg_basebackup", "-D", str(standby.folder), "-d", source, "-X", "stream", "-c", "fast", "-N", "-R"
            )
            standby.start()
            until(lambda: standby.sql("SELECT 1 FROM pg_stat_wal_receiver WHERE status = 'streaming'"))
            yield primary, standby
        finally:
            standby.stop()
            primary.stop()


class RedisServer:
    """One Redis server with password SECRET."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = free_port()
        arguments = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder), "--requirepass", SECRET]
        command = [
            str(binaries.redis()),
            *arguments,
            "--masterauth",
            SECRET,
            "--save",
            "",
            "--repl-diskless-sync-delay",
            "0",
            *options,
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.client = redis.Redis(port=self.port, password=SECRET, decode_responses=True)
        until(self.client.ping)

    @property
    def uri(self) -> str:
        return f"redis://:{SECRET}@127.0.0.1:{self.port}/0"

    def stop(self) -> None:
        self.client.close()
        self._process.terminate()
        self._process.wait(10)


@contextmanager
def black_hole() -> Iterator[int]:
    """The port of a server that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


class Wire:
    """A wire to a server that can fall silent."""

    def __init__(self) -> None:
        self.port = 0
        self.open = asyncio.Event()
        self.open.set()


@asynccontextmanager
async def wire_to(port: int) -> AsyncIterator[Wire]:
    """Forward a port of its own to PORT, as long as the wire is open."""
    wire, pumps = Wire(), set[asyncio.Task[None]]()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                await wire.open.wait()
                writer.write(data)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        pumps.update({asyncio.create_task(pump(reader, far_writer)), asyncio.create_task(pump(far_reader, writer))})

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    wire.port = int(server.sockets[0].getsockname()[1])
    try:
        yield wire
    finally:
        server.close()
        for task in pumps:
            task.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)


@asynccontextmanager
async def speaking(answer: bytes) -> AsyncIterator[int]:
    """The port of a server of another kind: it says ANSWER to whatever it is told; it hangs up at once when that is empty."""

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if answer:
            await reader.read(1)
            writer.write(answer)
            writer.close()
        else:
            writer.transport.abort()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()


@asynccontextmanager
async def probing(uri: str = "", **settings: Any) -> AsyncIterator[Postgresql]:
    """A probe of the server URI with SETTINGS, closed at the end."""
    probe = Postgresql("database", PostgresqlSettings(kind="postgresql", uri=uri, **{"timeout": 5, **settings}))
    try:
        yield probe
    finally:
        await probe.close()

"""A PostgreSQL server of our own, an ordinary process in a scratch folder: quick, and nothing of it has to survive."""

from __future__ import annotations

import os
import re
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from pytest_runbook import become, clock
from pytest_runbook.backup.postgresql import CONNECT, ENCODING
from pytest_runbook.backup.restore import scratch
from pytest_runbook.errors import RestoreError

if TYPE_CHECKING:
    import psycopg

HOST = "127.0.0.1"
ADMIN = "runbook_scratch"
"""The superuser; no role of a backup has this name."""
DEADLINE = 60.0
"""Seconds that initdb, a start or an end may take."""
TRIES = 5
"""Ports that are tried: another process may take one between the look and the start."""
LONGEST_SOCKET = 90
"""Characters that the folder of a unix socket may have; the kernel takes 107 with the socket's name."""
SETTINGS: Mapping[str, str] = {
    "listen_addresses": HOST,
    # Nothing has to survive a crash of the machine: it is all in the backup.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "1h",
    "autovacuum": "off",
    "archive_mode": "off",
    "shared_buffers": "128MB",
    "maintenance_work_mem": "128MB",
    "jit": "off",
    # As many tables as there are processors are restored at once: none of them gets a second one.
    "max_parallel_maintenance_workers": "0",
    # In the data folder, so that a kill leaves nothing in /dev/shm.
    "dynamic_shared_memory_type": "mmap",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


@dataclass
class ScratchPostgresql:
    """One server in a folder below a scratch folder."""

    home: Path
    """The scratch folder."""
    bindir: Path
    """Where PostgreSQL's programs are."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """What it is told beyond `SETTINGS`."""
    port: int = 0
    password: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def folder(self) -> Path:
        """The data folder."""
        return self.home / "postgresql"

    @property
    def socket(self) -> Path:
        """The folder of its unix socket."""
        return self.folder / "s"

    def create(self) -> None:
        """Make the cluster, as a user that PostgreSQL accepts."""
        user = _user()
        self.folder.mkdir(mode=0o700)
        become.give(self.folder, user)
        given = self.home / "password"
        given.touch(mode=0o600)
        become.give(given, user)
        given.write_text(self.password, encoding="utf-8")
        try:
            options = ["-U", ADMIN, "--pwfile", str(given), "-A", "scram-sha-256", "--no-locale", "-E", "UTF8", "-N"]
            self._run(["initdb", "-D", str(self.folder), *options])
        finally:
            given.unlink()
        self.socket.mkdir(mode=0o700)
        become.give(self.socket, user)

    def start(self) -> None:
        """Return when it serves."""
        for attempt in range(1, TRIES + 1):
            self.port = free_port()
            try:
                self._begin()
                return
            except RestoreError as error:
                self.stop()
                if attempt == TRIES or "Address already in use" not in str(error):
                    raise

    def stop(self) -> None:
        """End it at once: nothing of it is wanted any more."""
        if self._process is None:
            return
        process, self._process = self._process, None
        process.send_signal(signal.SIGQUIT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(DEADLINE)
            return
        process.kill()
        process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def address(self, database: str = "postgres") -> dict[str, Any]:
        """Parameters to connect with, the password among them."""
        return {"host": HOST, "port": self.port, "user": ADMIN, "password": self.password, "dbname": database}

    def near(self, database: str = "postgres") -> dict[str, Any]:
        """The same by its unix socket, where the path of that is short enough: a fifth less time for what says much."""
        return {**self.address(database), **({"host": str(self.socket)} if self._short else {})}

    @property
    def _short(self) -> bool:
        return len(os.fsencode(self.socket)) <= LONGEST_SOCKET

    def uri(self, database: str = "postgres") -> str:
        """The same as one URI, with the password."""
        return f"postgresql://{ADMIN}:{self.password}@{HOST}:{self.port}/{quote(database, safe='')}"

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[Any, ...]]:
        """A connection as superuser."""
        import psycopg  # late: psycopg costs a tenth of a second at start-up

        address = {**self.address(database), **ENCODING, "connect_timeout": CONNECT}
        return psycopg.connect(**address, autocommit=True, prepare_threshold=None)

    def _begin(self) -> None:
        told = {**SETTINGS, "port": str(self.port), **self.settings}
        told["unix_socket_directories"] = str(self.socket) if self._short else ""
        arguments = [part for key, value in told.items() for part in ("-c", f"{key}={value}")]
        argv = become.command(_user(), [str(self.bindir / "postgres"), "-D", str(self.folder), *arguments])
        with (self.home / "postgresql.log").open("wb") as log:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.home,
                env=scratch.environment(self.home),
                start_new_session=True,
            )
        self._until_it_serves()

    def _until_it_serves(self) -> None:
        import psycopg

        assert self._process
        deadline = clock.monotonic() + DEADLINE
        while True:
            try:
                self.connect().close()
                return
            except psycopg.OperationalError as error:
                if self._process.poll() is not None:
                    raise RestoreError(f"the scratch PostgreSQL ended at once\n{self._log()}") from None
                if clock.monotonic() > deadline:
                    raise RestoreError(f"the scratch PostgreSQL does not serve: {error}\n{self._log()}") from None
            time.sleep(0.02)

    def _log(self) -> str:
        lines = (self.home / "postgresql.log").read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(f"  | {line}" for line in lines[-15:])

    def _run(self, command: Sequence[str]) -> None:
        """Run one of PostgreSQL's programs as the server's user."""
        argv = become.command(_user(), [str(self.bindir / command[0]), *command[1:]])
        done = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            check=False,
            cwd=self.home,
            env=scratch.environment(self.home),
            timeout=DEADLINE,
        )
        if done.returncode != 0:
            said = re.sub(r"\s*\n\s*", "\n  | ", done.stderr.strip() or done.stdout.strip())
            raise RestoreError(f"{command[0]} failed with status {done.returncode}\n  | {said}")


def _user() -> str | None:
    try:
        return become.unprivileged()
    except LookupError as error:
        raise RestoreError(str(error)) from None


def free_port() -> int:
    """A port of this machine that nobody listens on now."""
    with socket.create_server((HOST, 0)) as server:
        return int(server.getsockname()[1])

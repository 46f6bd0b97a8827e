"""A Redis server of our own, an ordinary process in a scratch folder, that holds what an RDB holds.

A server whose append-only file is on reads that and no RDB: so it is started without one, and told to write one when the
RDB is loaded. What lies in its folder afterwards is what a server with an append-only file starts from.
"""

from __future__ import annotations

import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pytest_runbook import clock
from pytest_runbook.backup.restore import scratch
from pytest_runbook.backup.restore.postgresql import HOST, TRIES, free_port
from pytest_runbook.errors import RestoreError

if TYPE_CHECKING:
    import redis

RDB = "dump.rdb"
SETTINGS: Mapping[str, str] = {"daemonize": "no", "save": '""', "appendonly": "no", "databases": "64"}
START = 60.0
"""Seconds that it may take to answer; loading comes after that."""


@dataclass
class ScratchRedis:
    """One server in a folder below a scratch folder."""

    home: Path
    """The scratch folder."""
    program: Path
    """redis-server or valkey-server."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """What it is told beyond `SETTINGS`."""
    timeout: float = 3600.0
    """Seconds that it may take to load the RDB."""
    port: int = 0
    password: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def folder(self) -> Path:
        """Where its data lies."""
        return self.home / "redis"

    def place(self, rdb: Path) -> None:
        """Have it start from the file RDB, which is moved."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        shutil.move(rdb, self.folder / RDB)

    def start(self) -> None:
        """Return when it has loaded what it was given."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        for attempt in range(1, TRIES + 1):
            self.port = free_port()
            try:
                self._begin()
                return
            except RestoreError as error:
                self.stop()
                if attempt == TRIES or "Address already in use" not in str(error):
                    raise

    def append(self) -> None:
        """Write all it holds to an append-only file too; return when that is done."""
        with self.connect() as client:
            client.config_set("appendonly", "yes")
            self._until(client, lambda info: not info["aof_rewrite_in_progress"], "write its append-only file")
            if client.info("persistence")["aof_last_bgrewrite_status"] != "ok":
                raise RestoreError(f"the scratch Redis cannot write its append-only file\n{self._log()}")

    def stop(self) -> None:
        """End it; what it wrote stays."""
        if self._process is None:
            return
        process, self._process = self._process, None
        with suppress(Exception), self.connect() as client:
            client.shutdown(nosave=True)
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
            return
        process.kill()
        process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    @property
    def uri(self) -> str:
        """Its URI, with the password."""
        return f"redis://:{self.password}@{HOST}:{self.port}/0"

    def connect(self, db: int = 0) -> redis.Redis:
        """A client; nothing is retried."""
        import redis as library  # late: redis costs a tenth of a second at start-up
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        return library.Redis(
            host=HOST,
            port=self.port,
            db=db,
            password=self.password,
            decode_responses=True,
            socket_timeout=30,
            retry=Retry(NoBackoff(), 0),
        )

    def keys(self) -> dict[str, tuple[int, int]]:
        """How many keys each database holds, and how many of them expire."""
        with self.connect() as client:
            return keyspace(client)

    def _begin(self) -> None:
        told = {
            "bind": HOST,
            "port": self.port,
            "dir": f'"{self.folder}"',
            "dbfilename": RDB,
            **SETTINGS,
            **self.settings,
        }
        # On standard input, since everybody can read a command line.
        text = "".join(f"{name} {value}\n" for name, value in {**told, "requirepass": self.password}.items())
        with (self.home / "redis.log").open("wb") as log:
            self._process = subprocess.Popen(
                [str(self.program), "-"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=scratch.environment(self.home),
                start_new_session=True,
            )
        assert self._process.stdin
        with suppress(BrokenPipeError), self._process.stdin as pipe:
            pipe.write(text.encode())
        self._until_it_serves()

    def _until_it_serves(self) -> None:
        import redis as library

        assert self._process
        begun = clock.monotonic()
        with self.connect() as client:
            while True:
                try:
                    client.ping()
                    return
                except library.BusyLoadingError:
                    limit = self.timeout
                except library.RedisError:
                    limit = START
                if self._process.poll() is not None:
                    raise RestoreError(f"the scratch Redis ended at once\n{self._log()}")
                if clock.monotonic() - begun > limit:
                    raise RestoreError(f"the scratch Redis does not serve\n{self._log()}")
                time.sleep(0.02)

    def _until(self, client: redis.Redis, done: Callable[[dict[str, Any]], bool], what: str) -> None:
        begun = clock.monotonic()
        while not done(client.info("persistence")):
            if clock.monotonic() - begun > self.timeout:
                raise RestoreError(f"the scratch Redis did not {what} within {clock.duration(self.timeout)}")
            time.sleep(0.02)

    def _log(self) -> str:
        lines = (self.home / "redis.log").read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(f"  | {line}" for line in lines[-15:])


def keyspace(client: redis.Redis) -> dict[str, tuple[int, int]]:
    """How many keys each database of a server holds, and how many of them expire."""
    found: Any = client.info("keyspace")
    return {name.removeprefix("db"): (one["keys"], one["expires"]) for name, one in found.items()}

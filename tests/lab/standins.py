"""The stand-in services as processes of a test: a home of their own, real servers behind them, an end that is checked."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.probes.databases import PostgresServer, RedisServer, free_port, server_folder, until

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "lab" / "servers" / "schema.sql"
VERSION = "1.4.2"
LEAVE = 5.0
"""Seconds in which a service must be gone after SIGTERM; it takes 1.3 at most when the machine is idle."""


@dataclass(frozen=True)
class Home:
    """A folder as /opt/nightscan is, and the variables that services get."""

    folder: Path
    variables: Mapping[str, str]
    web_port: int
    ml_port: int

    @property
    def web(self) -> str:
        return f"http://127.0.0.1:{self.web_port}"

    @property
    def ml(self) -> str:
        return f"http://127.0.0.1:{self.ml_port}"

    @property
    def models(self) -> Path:
        return self.folder / "models"

    @property
    def evaluation(self) -> Path:
        return self.folder / "data" / "evaluation"

    def log(self) -> list[dict[str, Any]]:
        """Every record of the log so far."""
        path = self.folder / "logs" / "nightscan.log"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    @contextmanager
    def fault(self, service: str, **rules: object) -> Iterator[None]:
        """RULES in place for SERVICE."""
        path = self.folder / f"{service}-faults.json"
        path.write_text(json.dumps(rules))
        try:
            yield
        finally:
            path.unlink()


def make_home(folder: Path, **variables: str) -> Home:
    """A home in FOLDER with free ports; VARIABLES come on top."""
    web, ml = free_port(), free_port()
    config = {
        "services": {"web_port": web, "prediction_port": ml, "max_file_size": 2_000_000, "request_timeout": None},
        "database": {"pool_size": 3, "max_overflow": 1, "password": "***masked***"},
        "security": {"session_cookie_secure": True, "session_cookie_httponly": True, "secret_key": None},
        "ml": {"models_directory": str(folder / "models")},
        "logging": {"level": "INFO", "log_directory": str(folder / "logs"), "log_filename": "nightscan.log"},
    }
    file = folder / "config" / "production.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(config))
    told = {"NIGHTSCAN_ENV": "production", "NIGHTSCAN_CONFIG_FILE": str(file), "LAB_DIR": str(folder)}
    addresses = {"LAB_WEB_URL": f"http://127.0.0.1:{web}", "LAB_ML_URL": f"http://127.0.0.1:{ml}"}
    return Home(folder, {**told, **addresses, "VERSION": VERSION, "SECRET_KEY": "k" * 40, **variables}, web, ml)


@contextmanager
def service(name: str, home: Home, url: str | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m lab.NAME`, answering at URL; at the end it leaves in time, without complaint, and no process behind."""
    log = home.folder / f"{name}.out"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", f"lab.{name}"],
            cwd=ROOT,
            env={**os.environ, **home.variables},
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        if url:
            until(lambda: process.poll() is not None or answers(f"{url}/health"))
        assert process.poll() is None, log.read_text()
        yield process
    finally:
        left = end(process)
    assert (process.returncode, left) == (0, []), f"status {process.returncode}, left {left}\n{log.read_text()}"


def end(process: subprocess.Popen[bytes]) -> list[int]:
    """Tell PROCESS to end; the processes of its group that are left when it is gone, killed by now."""
    process.terminate()
    try:
        process.wait(LEAVE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    left = [other for other in psutil.process_iter() if _group(other) == process.pid]
    for other in left:
        other.kill()
    return [other.pid for other in left]


def _group(process: psutil.Process) -> int | None:
    """The process group of PROCESS; none when it is dead and only waits to be noticed."""
    try:
        return None if process.status() == psutil.STATUS_ZOMBIE else os.getpgid(process.pid)
    except (psutil.NoSuchProcess, ProcessLookupError):
        return None


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).is_success
    except httpx.TransportError:
        return False


@dataclass(frozen=True)
class Stack:
    """The servers that the web application works with, and the application's home."""

    home: Home
    database: PostgresServer
    cache: RedisServer

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        return self.database.sql(statement, "nightscan")

    def empty_queues(self) -> None:
        self.cache.client.delete("prediction:queue", "celery")


@contextmanager
def stack(folder: Path) -> Iterator[Stack]:
    """A database with the system's tables, and a cache."""
    with server_folder() as place:
        database, cache = PostgresServer(place / "database", {}), RedisServer(place)
        try:
            database.create()
            database.start()
            database.sql("CREATE DATABASE nightscan")
            database.sql(SCHEMA.read_text(), "nightscan")
            home = make_home(folder, NIGHTSCAN_DATABASE_URI=database.uri(database="nightscan"), REDIS_URL=cache.uri)
            yield Stack(home, database, cache)
        finally:
            cache.stop()
            database.stop()

"""A small system with a database, a cache and files, all real, for the tests of backup, restore and drill."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis
from pytest_runbook.backup import destinations, everything
from pytest_runbook.backup.destinations import Destination
from pytest_runbook.backup.manifest import Manifest
from pytest_runbook.runbooks import family
from pytest_runbook.settings import Loaded, load

from lab import binaries
from tests.lean import LEAN
from tests.managers.supervisord import CONTROL
from tests.probes.databases import SECRET, PostgresServer, RedisServer, free_port, server_folder, until

SCHEMA = """
    CREATE ROLE shopkeeper;
    CREATE TABLE customer (id serial PRIMARY KEY, name text NOT NULL UNIQUE, since timestamptz NOT NULL DEFAULT now());
    CREATE TABLE purchase (id bigserial PRIMARY KEY, customer integer NOT NULL REFERENCES customer, price numeric,
                           at timestamptz NOT NULL DEFAULT now());
    CREATE TABLE note (text text);
    CREATE TABLE nothing_yet (id integer);
    CREATE INDEX purchase_at ON purchase (at);
    ALTER TABLE note OWNER TO shopkeeper;
    INSERT INTO customer (name) SELECT 'customer ' || n FROM generate_series(1, 200) AS n;
    INSERT INTO purchase (customer, price) SELECT 1 + n % 200, n / 7.0 FROM generate_series(1, 3000) AS n;
    INSERT INTO note SELECT 'note ' || n FROM generate_series(1, 50) AS n;
"""


@dataclass
class Shop:
    """The system, and where its backups lie."""

    folder: Path
    database: PostgresServer
    cache: RedisServer | ManagedCache
    scratch: Path
    """Where scratch servers live."""

    @property
    def loaded(self) -> Loaded:
        """Its settings, as a command reads them."""
        return self.told()

    def told(self, *overrides: str) -> Loaded:
        """The same with OVERRIDES, `drill.rto=1`."""
        return load(self.folder, file=self.folder / "shop.toml", environ={}, overrides=overrides)

    def place(self, name: str = "away") -> Destination:
        """The destination NAME."""
        return destinations.connect(name, self.loaded.settings, self.folder)

    def runbook(
        self, *words: str, folder: Path | None = None, powerless: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """The command `runbook` with WORDS, started in FOLDER (None: that of the system), where nobody sits.

        POWERLESS takes from root the right to read everything.
        """
        plainly = ["setpriv", "--bounding-set=-all"] if powerless and os.geteuid() == 0 else []
        argv = [*plainly, sys.executable, "-c", "from pytest_runbook.cli import main; main()", *words]
        plain = {name: value for name, value in os.environ.items() if name != family.MARK}
        return subprocess.run(
            argv, cwd=folder or self.folder, capture_output=True, text=True, check=False, input="", env=plain
        )

    def backup(self) -> Manifest:
        """A backup in both destinations."""
        return everything.make(self.loaded.settings, self.folder)

    def write_settings(self) -> None:
        """The settings file."""
        roots = {
            "uploads": self.folder / "uploads",
            "config": self.folder / "config",
            "environment": self.folder / ".env",
        }
        lines = [
            '[system]\nname = "Shop"\nenvironment = "staging"\nenv_file = "/nowhere/.env"',
            f'[probes.database]\nkind = "postgresql"\nuri = "{self.database.uri(database="shop")}"',
            '[probes.standby]\nkind = "postgresql"',
            f'[probes.cache]\nkind = "redis"\nuri = "{self.cache.uri}"',
            '[backup.destinations.local]\nkind = "folder"\npath = "local"',
            '[backup.destinations.away]\nkind = "folder"\npath = "away"',
            '[backup.database]\nprobe = "database"\nnewest = ["purchase.at", "customer.since"]',
            '[backup.cache]\nprobe = "cache"',
            '[backup.files]\nconfiguration = ["config", "environment"]',
            "[backup.files.roots]\n" + "\n".join(f'{name} = "{path}"' for name, path in roots.items()),
            f'[backup.programs]\npostgresql = "{binaries.postgresql()}"\nredis = "{binaries.redis()}"',
            f'[drill]\nchecks = ""\nfolder = "{self.scratch}"',
        ]
        (self.folder / "shop.toml").write_text("\n\n".join(lines) + "\n")

    def fill(self) -> None:
        """Rows, keys and files."""
        self.database.sql("CREATE DATABASE shop")
        self.database.sql(SCHEMA, "shop")
        self.database.sql("ALTER DATABASE shop OWNER TO shopkeeper")
        self.database.sql("ALTER DATABASE shop SET work_mem = '7MB'")
        self.database.sql("REVOKE ALL ON DATABASE shop FROM PUBLIC")
        self.cache.client.set("session:1", "open")
        self.cache.client.rpush("queue", *map(str, range(40)))
        self.cache.client.set("cached", "soon gone", ex=3600)
        for number in range(5):
            path = self.folder / "uploads" / "2026" / f"{number}.bin"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(os.urandom(2000 + number))
        (self.folder / "uploads" / "latest").symlink_to("2026/4.bin")
        (self.folder / "config").mkdir()
        (self.folder / "config" / "shop.json").write_text(json.dumps({"open": True}))
        (self.folder / ".env").write_text("VERSION=1.0\n")
        (self.folder / ".env").chmod(0o600)


SUPERVISOR = """
[supervisord]
logfile={place}/supervisord.log
pidfile={place}/supervisord.pid
childlogdir={place}
{user}
[unix_http_server]
file={place}/sock
[supervisorctl]
serverurl=unix://{place}/sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[program:cache]
command={redis} {place}/cache.conf
startsecs=0
[program:ml]
command=sleep 86400
startsecs=0
"""
CHECK = """
from pytest_runbook import check

@check("postdeploy", severity="P1")
async def test_customers_are_there(database):
    assert await database.one("SELECT count(*) FROM customer") >= 200, "customers are gone"

@check("postdeploy", severity="P1")
async def test_open(system):
    assert not __import__("pathlib").Path("{closed}").exists(), "the shop is closed"
"""


def scratch_folder(place: Path) -> Path:
    """A folder for scratch servers, which other users can pass through."""
    folder = place / "scratch"
    folder.mkdir(mode=0o755)
    place.chmod(0o755)
    return folder.resolve()


class ManagedCache:
    """A Redis server under a supervisord of its own, with an append-only file."""

    def __init__(self, place: Path) -> None:
        self.place, self.port = place, free_port()
        (place / "data").mkdir()
        told = {
            "port": self.port,
            "bind": "127.0.0.1",
            "dir": place / "data",
            "requirepass": SECRET,
            "appendonly": "yes",
        }
        (place / "cache.conf").write_text("".join(f"{name} {value}\n" for name, value in told.items()))
        user = "user=root" if os.geteuid() == 0 else ""
        self.config = place / "supervisord.conf"
        self.config.write_text(SUPERVISOR.format(place=place, user=user, redis=binaries.redis()))
        daemon = [sys.executable, "-W", "ignore", "-m", "supervisor.supervisord", "-c", str(self.config)]
        subprocess.run(daemon, check=True, capture_output=True, cwd="/")
        self.client = redis.Redis(port=self.port, password=SECRET, decode_responses=True)
        until(self.client.ping)

    @property
    def uri(self) -> str:
        return f"redis://:{SECRET}@127.0.0.1:{self.port}/0"

    def control(self, *words: str) -> str:
        """What supervisorctl says to WORDS."""
        argv = [*CONTROL, "-c", str(self.config), *words]
        return subprocess.run(argv, check=False, capture_output=True, text=True).stdout

    def stop(self) -> None:
        self.client.close()
        self.control("shutdown")
        pid = self.place / "supervisord.pid"
        until(lambda: not pid.exists())


@contextmanager
def managed(folder: Path, checks: str = "postdeploy") -> Iterator[Shop]:
    """The system in FOLDER, with a cache that a manager starts and stops, and a project with checks.

    CHECKS look at what was restored into it.
    """
    with ExitStack() as stack:
        place = stack.enter_context(server_folder())
        database = PostgresServer(place / "database", {})
        database.create()
        database.start()
        stack.callback(database.stop)
        (place / "c").mkdir()
        cache = ManagedCache(place / "c")
        stack.callback(cache.stop)
        made = Shop(folder, database, cache, scratch_folder(place))
        made.fill()
        made.write_settings()
        more = [
            f'[managers.lab]\nkind = "supervisor"\nsteady = 0.0\ncommand = {json.dumps([*CONTROL])}\nconfig = "{cache.config}"',
            '[services.database]\n\n[services.cache]\nmanager = "lab"\n\n[services.ml]\nmanager = "lab"',
            f'[restore]\ncache = "cache"\nadmin = "{database.uri()}"\nchecks = "{checks}"',
            "[confirm]\nfailures = 1\nof = 1",
        ]
        with (folder / "shop.toml").open("a") as file:
            file.write("\n" + "\n\n".join(more) + "\n")
        (folder / "pytest.ini").write_text(
            f"[pytest]\nrunbook_settings = shop.toml\npython_files = checks/*.py\ntestpaths = checks\naddopts = {LEAN}\n"
        )
        (folder / "checks" / "database").mkdir(parents=True)
        (folder / "checks" / "database" / "shop.py").write_text(CHECK.replace("{closed}", str(folder / "closed")))
        yield made


@contextmanager
def shop(folder: Path) -> Iterator[Shop]:
    """The system in FOLDER, without a backup."""
    with ExitStack() as stack:
        place = stack.enter_context(server_folder())
        database = PostgresServer(place / "database", {})
        database.create()
        database.start()
        stack.callback(database.stop)
        (place / "cache").mkdir()
        cache = RedisServer(place / "cache")
        stack.callback(cache.stop)
        made = Shop(folder, database, cache, scratch_folder(place))
        made.fill()
        made.write_settings()
        yield made

"""Redis (or Valkey): a cache with a password, persistence and a memory limit, and its replica."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import redis

from lab import binaries
from lab.servers import Process, Server
from lab.site import HOST, write_private
from lab.waiting import NotReady

SAVE = "900 1 300 100"
"""A snapshot after so many seconds with so many changes."""
MEMORY = 64 * 2**20
"""What it may use, in bytes."""


class Cache(Server):
    """The primary."""

    name = "cache"
    ports: ClassVar[tuple[str, ...]] = ("cache",)
    fronted = True

    @property
    def data(self) -> Path:
        """Where append-only file and dump lie."""
        return self.site.path(self.name)

    def settings(self) -> dict[str, str]:
        """The configuration; both ways of persistence, as production has them."""
        password = self.site.secret("cache")
        return {
            "bind": HOST,
            "port": str(self.site.port(self.name)),
            "dir": f'"{self.data}"',
            "daemonize": "no",
            "requirepass": password,
            "masterauth": password,
            "appendonly": "yes",
            "appendfsync": "no",  # as PostgreSQL's: a kill loses nothing
            "save": SAVE,
            "maxmemory": str(MEMORY),
            # Queues have no expiry and are never evicted; cached values have one.
            "maxmemory-policy": "volatile-lru",
            "repl-diskless-sync-delay": "0",
        }

    def prepare(self) -> None:
        """Write the configuration; in a file, since a command line can be read by everybody."""
        self.data.mkdir(mode=0o700, exist_ok=True)
        text = "".join(f"{key} {value}\n" for key, value in self.settings().items())
        write_private(self.site.path("cache-conf", f"{self.name}.conf"), text)

    def process(self) -> Process:
        """The server in the foreground."""
        return Process(
            [str(binaries.redis()), str(self.site.path("cache-conf", f"{self.name}.conf"))], self.site.folder
        )

    def connect(self) -> redis.Redis:
        """A client past the fault proxy, to prepare or to look."""
        return redis.Redis(
            host=HOST,
            port=self.site.port(self.name),
            password=self.site.secret("cache"),
            socket_timeout=3,
            decode_responses=True,
        )

    def info(self, section: str) -> dict[str, Any]:
        """A section of INFO."""
        try:
            with self.connect() as client:
                return dict(client.info(section))
        except redis.RedisError as error:
            raise NotReady(str(error)) from error

    def ready(self) -> None:
        """It has loaded its data."""
        if self.info("persistence")["loading"]:
            raise NotReady("loading its data")


class Replica(Cache):
    """The replica; ready when its link to the primary is up."""

    name = "replica"
    needs = ("cache",)
    ports = ("replica",)

    def settings(self) -> dict[str, str]:
        """As the primary, following it."""
        return {**super().settings(), "replicaof": f"{HOST} {self.site.port('cache')}"}

    def ready(self) -> None:
        """The link is up: the first copy is complete."""
        link = self.info("replication").get("master_link_status")
        if link != "up":
            raise NotReady(f"the link to the primary is {link}")

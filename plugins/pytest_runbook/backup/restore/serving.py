"""The cache that is in use, asked which files it reads and what it serves: data placed in a wrong folder are not restored."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_runbook import clock
from pytest_runbook.backup import comparing
from pytest_runbook.backup.manifest import Cache
from pytest_runbook.backup.restore.cache import keyspace
from pytest_runbook.errors import RestoreError, StepFailed

if TYPE_CHECKING:
    import redis

    from pytest_runbook.settings import Settings

FILES = ("dir", "dbfilename", "appendonly", "appenddirname", "appendfilename")
"""What a server says of its own files."""


def files(settings: Settings) -> dict[str, str]:
    """What the cache says of its own files; RestoreError when what is placed there would not stay."""
    with _asked(settings) as client:
        _primary(client)
        return _files(client)


def folder(settings: Settings, said: Mapping[str, str]) -> Path:
    """What the folder of the cache, which SAID how its own files are called, is called on this machine."""
    return settings.restore.cache_folder or Path(said["dir"])


def prove(settings: Settings, snapshot: Path, earlier: Path, heed: Callable[[], object] = lambda: None) -> None:
    """Have the cache write its snapshot, and see it come: RestoreError when SNAPSHOT is not the file that it writes.

    What it was before stays as EARLIER: a cache that runs empty writes an empty one over it. HEED is called while it writes, and
    raises what ends the waiting.
    """
    _put_aside(snapshot, earlier)
    before, saving = _state(snapshot), Saving(settings, snapshot, heed)
    try:
        saving.prove()
    finally:
        if not saving.writes and _state(snapshot) == before:  # it was not written over, nor is it later
            earlier.unlink(missing_ok=True)


def _put_aside(snapshot: Path, earlier: Path) -> None:
    """Have SNAPSHOT, if there is one, as EARLIER too; a copy where its disk knows no links, or we may make none."""
    try:
        os.link(snapshot, earlier)
    except FileNotFoundError:
        return
    except OSError:
        try:
            shutil.copy2(snapshot, earlier)
        except OSError as error:
            earlier.unlink(missing_ok=True)
            raise RestoreError(f'"{snapshot}" cannot be kept as "{earlier}": {error.strerror or error}') from None


@dataclass
class Saving:
    """Tells the cache of SETTINGS to write SNAPSHOT, once."""

    settings: Settings
    snapshot: Path
    heed: Callable[[], object]
    writes: bool = False
    """Whether it was told to, and may still do it: nobody saw it end, or refuse."""

    def prove(self) -> None:
        """Raise RestoreError unless SNAPSHOT is what it writes."""
        before = _state(self.snapshot)
        with _asked(self.settings) as client:
            state = self._saved(client)
        if _state(self.snapshot) != before:
            return
        if state["rdb_last_bgsave_status"] != "ok":
            raise RestoreError(
                f'the cache cannot write "{self.snapshot.name}": what is in it would not outlast a restart\n'
                "  hint: its log says why; see disk and rights of its folder"
            )
        place = self.snapshot.parent
        raise RestoreError(
            f'the cache was told to save, and "{self.snapshot}" did not change: "{place}" is not its folder\n'
            "  hint: set restore.cache_folder to what its folder is called on this machine"
        )

    def _saved(self, client: redis.Redis) -> Any:
        """What CLIENT says of itself when it has saved."""
        from redis import RedisError, ResponseError

        end = clock.monotonic() + self.settings.restore.timeout
        _until_nothing_is_written(client, end, self.heed)
        self.writes = True
        try:
            client.bgsave(schedule=False)
        except RedisError as error:
            self.writes = not isinstance(error, ResponseError)
            place = self.snapshot.parent
            raise RestoreError(
                f'the cache does not save, so nobody knows whether it reads "{place}": {error}{_hint(error)}'
            ) from None
        _until_nothing_is_written(client, end, self.heed)
        self.writes = False
        return client.info("persistence")


def compare(settings: Settings, told: Cache, placed: Mapping[str, str]) -> str:
    """See that the cache, just started, serves the snapshot TOLD from the files PLACED; RestoreError when it does not.

    Clients that nobody stopped may have written already: then what it loaded at its start decides, in words.
    """
    with _asked(settings, wait=True) as client:
        _primary(client)
        now = _files(client)
        if wrong := [name for name in FILES if now.get(name) != placed.get(name)]:
            name = wrong[0]
            raise RestoreError(
                f'the cache has the {name} "{now.get(name)}" since its start, its data were placed for "{placed.get(name)}"\n'
                "  hint: what was set while it ran is not what its configuration file says; make them the same"
            )
        _, faults = comparing.cache(told, keyspace(client))
        persistence: Any = client.info("persistence")
    if not faults:
        return f"the cache serves the {sum(told.keys.values())} keys that were restored"
    if _loaded(told, persistence):
        return f"the cache loaded what was restored, and somebody wrote since: {faults[0].message}"
    raise RestoreError("\n".join(["the cache does not serve what was restored", *(f"  {one}" for one in faults[:10])]))


def _loaded(told: Cache, persistence: Mapping[str, Any]) -> bool:
    """Whether as many keys as TOLD were loaded; servers older than Redis 7 do not say."""
    if "rdb_last_load_keys_loaded" not in persistence:
        return False
    most = sum(told.keys.values())
    found = int(persistence["rdb_last_load_keys_loaded"]) + int(persistence["rdb_last_load_keys_expired"])
    return most - sum(told.expires.values()) <= found <= most


def _primary(client: redis.Redis) -> None:
    """Refuse a replica."""
    found: Any = client.info("replication")
    if found["role"] != "master":
        raise RestoreError(
            f'the cache is a replica of "{found.get("master_host")}:{found.get("master_port")}", whose data replace its own\n'
            "  hint: restore that one, or make this one a primary: REPLICAOF NO ONE"
        )


def _files(client: redis.Redis) -> dict[str, str]:
    found: Any = client.config_get(*FILES)
    return {str(name): str(value) for name, value in found.items()}


def _state(path: Path) -> tuple[int, int] | None:
    """What changes when the file PATH is written anew."""
    try:
        seen = path.stat()
    except FileNotFoundError:
        return None
    return seen.st_ino, seen.st_mtime_ns


def _until_nothing_is_written(client: redis.Redis, end: float, heed: Callable[[], object]) -> None:
    while True:
        heed()
        state: Any = client.info("persistence")
        if not (state["rdb_bgsave_in_progress"] or state["aof_rewrite_in_progress"]):
            return
        if clock.monotonic() > end:
            raise RestoreError("the cache still writes its snapshot, and did not end within restore.timeout")
        time.sleep(0.02)


@contextmanager
def _asked(settings: Settings, *, wait: bool = False) -> Iterator[redis.Redis]:
    """A client of the cache; with WAIT, of one that was started and may still load."""
    from redis import RedisError

    from pytest_runbook.runbooks import servers

    probe = settings.backup.cache.probe
    own: Any = settings.probes[probe]
    try:
        with servers.cache(probe, own) as client:
            if wait:
                _until_it_serves(client, settings)
            yield client
    except (RedisError, StepFailed) as error:
        raise RestoreError(
            f'"{probe}" does not say what it reads and serves: {error}{_hint(error)}\n'
            "  hint: it has to run, an empty one is enough"
        ) from None


def _until_it_serves(client: redis.Redis, settings: Settings) -> None:
    import redis as library

    begun = clock.monotonic()
    while True:
        try:
            client.ping()
            return
        except library.BusyLoadingError:
            limit = settings.restore.timeout
        except library.ConnectionError:
            limit = settings.restore.stopping
            if clock.monotonic() - begun > limit:
                raise
        if clock.monotonic() - begun > limit:
            raise RestoreError(f"the cache did not load its data within {clock.duration(limit)}")
        time.sleep(0.02)


def _hint(error: Exception) -> str:
    return (
        "\n  hint: allow it to the probe's user: ACL SETUSER NAME +bgsave +info +config|get"
        if "NOPERM" in str(error)
        else ""
    )

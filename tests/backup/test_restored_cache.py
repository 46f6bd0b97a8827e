"""A restore of the cache ends as done only when the server itself serves what was restored."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pytest_runbook.backup.manifest import Manifest
from pytest_runbook.backup.restore import journal, serving
from pytest_runbook.backup.restore.journal import Restore
from pytest_runbook.backup.restore.keeping import Keeping
from pytest_runbook.backup.restore.preparing import Preparing
from pytest_runbook.backup.restore.production import Production
from pytest_runbook.backup.restore.services import Services
from pytest_runbook.errors import RestoreError

from tests.backup.systems import ManagedCache, Shop, managed
from tests.managers.supervisord import CONTROL
from tests.probes.databases import RedisServer, until

SAVED = {"session:1": "open", "queue": "0 1 2", "cached": "soon gone"}
"""What the cache held."""


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with managed(tmp_path_factory.mktemp("shop"), checks="") as made:
        yield made


@pytest.fixture
def cache(system: Shop) -> ManagedCache:
    assert isinstance(system.cache, ManagedCache)
    fill(system.cache, SAVED)
    return system.cache


@pytest.fixture
def backup(system: Shop, cache: ManagedCache) -> Manifest:
    """Of the system, which has other values since, and as many of them."""
    made = system.backup()
    fill(cache, dict.fromkeys(SAVED, "later"))
    return made


def fill(cache: ManagedCache, values: dict[str, str]) -> None:
    until(cache.client.flushall)
    cache.client.mset(values)


def served(cache: ManagedCache) -> dict[str, str | None]:
    until(cache.client.ping)
    return {key: cache.client.get(key) for key in sorted(cache.client.keys("*"), reverse=True)}  # type: ignore[misc]


def restored(system: Shop, backup: Manifest, *overrides: str) -> Restore:
    production = Production(system.told(*overrides), system.folder)
    return production.restore("away", production.judge("away", backup.id), ["cache"], safety=False)


@contextmanager
def told_otherwise(cache: ManagedCache, *lines: str) -> Iterator[None]:
    """The configuration file of CACHE says LINES, which count from its next start on."""
    file = cache.place / "cache.conf"
    before = file.read_text()
    file.write_text(before + "".join(f"{line}\n" for line in lines))
    yield
    file.write_text(before)
    restart(cache)


def restart(cache: ManagedCache) -> None:
    subprocess.run([*CONTROL, "-c", str(cache.config), "restart", "cache"], check=True, capture_output=True)
    until(cache.client.ping)


def test_what_was_restored_is_served_and_said(system: Shop, cache: ManagedCache, backup: Manifest) -> None:
    done = restored(system, backup)
    assert (done.state, served(cache)) == (journal.DONE, SAVED)
    assert "the cache serves the 3 keys that were restored" in done.story


def test_a_folder_that_the_server_does_not_write_is_refused(
    system: Shop, cache: ManagedCache, backup: Manifest, tmp_path: Path
) -> None:
    (tmp_path / "dump.rdb").write_bytes(b"of somebody else")
    with pytest.raises(RestoreError, match=f'"{tmp_path}" is not its folder\n  hint: set restore.cache_folder'):
        restored(system, backup, f"restore.cache_folder={tmp_path}")
    assert served(cache) == dict.fromkeys(SAVED, "later")
    assert [path.name for path in tmp_path.iterdir()] == ["dump.rdb"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("dir {other}", 'the cache has the dir "{other}" since its start, its data were placed for "{own}"'),
        ("appendonly no", 'the cache has the appendonly "no" since its start'),
        ("dbfilename other.rdb", 'the cache has the dbfilename "other.rdb" since its start'),
        ("replicaof 127.0.0.1 1", 'the cache is a replica of "127.0.0.1:1"'),
    ],
)
def test_a_server_that_reads_other_files_since_its_start_is_taken_back(
    system: Shop, cache: ManagedCache, backup: Manifest, tmp_path: Path, line: str, said: str
) -> None:
    names = {"other": str(tmp_path), "own": str(cache.place / "data")}
    with told_otherwise(cache, line.format(**names)):
        done = restored(system, backup)
    assert done.state == journal.UNDONE
    assert said.format(**names) in done.story[-1]
    assert served(cache) == dict.fromkeys(SAVED, "later")


def test_a_server_that_serves_something_else_is_taken_back(
    system: Shop, cache: ManagedCache, backup: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    managing = Services.managed

    def emptied(self: Services, service: str, action: str) -> None:
        if (
            action == "start"
            and self.restore.state == journal.EXCHANGING
            and not any("going back" in one for one in self.restore.story)
        ):
            shutil.rmtree(cache.place / "data" / "appendonlydir")
        managing(self, service, action)

    monkeypatch.setattr(Services, "managed", emptied)
    done = restored(system, backup)
    assert (done.state, served(cache)) == (journal.UNDONE, dict.fromkeys(SAVED, "later"))
    assert "the cache does not serve what was restored" in done.story[-1]
    assert "database 0 has 0 keys, the manifest says 3 keys" in done.story[-1]


def test_the_snapshot_from_before_is_kept_when_the_restore_does_not_come_to_its_end(
    system: Shop, cache: ManagedCache, backup: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = cache.place / "data" / "dump.rdb"
    snapshot.unlink(missing_ok=True)
    snapshot.write_bytes(b"the last good one, which nobody reads since appendonly was switched on")

    def failing(*_: object) -> list[tuple[Path, str]]:
        raise RestoreError("it cannot be made ready")

    monkeypatch.setattr(Preparing, "_made", failing)
    with pytest.raises(RestoreError, match="it cannot be made ready"):
        restored(system, backup)
    production = Production(system.told(), system.folder)
    ended = max(production.journal.all(), key=lambda one: one.started)
    assert ended.state == journal.UNDONE
    assert any(f'is kept as "{ended.earlier}"' in line for line in ended.story)
    assert Path(ended.earlier).read_bytes().startswith(b"the last good one")
    assert b"later" in snapshot.read_bytes()
    kept = {one.id: found for one, found in Keeping(production).all()}
    assert [one.name for one in kept[ended.id]] == [ended.earlier]


def test_a_server_of_before_the_folder_for_appended_files_is_refused_in_words(
    system: Shop, cache: ManagedCache, backup: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis 6 names no such folder; the server at hand, by which its data are made ready, has one."""
    told = serving.files
    monkeypatch.setattr(
        serving, "files", lambda settings: {k: v for k, v in told(settings).items() if k != "appenddirname"}
    )
    with pytest.raises(
        RestoreError, match=r'"appendonly.aof", as Redis before 7 does; ".*/.*-server" makes a folder\n  hint'
    ):
        restored(system, backup)
    assert served(cache) == dict.fromkeys(SAVED, "later")


def test_a_replica_is_refused(system: Shop, cache: ManagedCache, backup: Manifest, tmp_path: Path) -> None:
    primary = RedisServer(tmp_path)
    try:
        cache.client.replicaof("127.0.0.1", str(primary.port))
        with pytest.raises(RestoreError, match=f'is a replica of "127.0.0.1:{primary.port}", .*\n.*REPLICAOF NO ONE'):
            restored(system, backup)
    finally:
        cache.client.replicaof("NO", "ONE")
        primary.stop()


def test_who_writes_at_once_does_not_take_it_back(
    system: Shop, cache: ManagedCache, backup: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    managing = Services.managed

    def used(self: Services, service: str, action: str) -> None:
        managing(self, service, action)
        if action == "start":
            until(cache.client.ping)
            cache.client.set("written", "at once")

    monkeypatch.setattr(Services, "managed", used)
    done = restored(system, backup)
    assert (done.state, served(cache)) == (journal.DONE, {"written": "at once", **SAVED})
    assert any("somebody wrote since: database 0 has 4 keys" in line for line in done.story)

"""Whatever breaks a restore off while services are stopped, they run again, on what they ran on, and no others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from threading import Barrier

import pytest
from pytest_runbook.backup.manifest import Manifest
from pytest_runbook.backup.restore import exclusion, journal
from pytest_runbook.backup.restore.journal import Journal
from pytest_runbook.backup.restore.production import Production
from pytest_runbook.errors import RestoreError
from pytest_runbook.history import Lock, Store
from pytest_runbook.history.locks import Held
from pytest_runbook.naming import new_id
from pytest_runbook.process import Process
from pytest_runbook.runbooks import family

from tests.backup.systems import ManagedCache, Shop, managed
from tests.probes.databases import until

COMMAND = [sys.executable, "-c", "from pytest_runbook.cli import main; main()", "restore"]
STOPPED = 'restore.stop=["ml"]'


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with managed(tmp_path_factory.mktemp("shop"), checks="") as made:
        yield made


@pytest.fixture
def cache(system: Shop, backup: Manifest) -> ManagedCache:
    """The cache, which holds another key since the backup; `ml` runs as well."""
    assert isinstance(system.cache, ManagedCache)
    until(system.cache.client.flushall)
    system.cache.client.set("later", "yes")
    system.cache.control("start", "ml")
    return system.cache


def runs(cache: ManagedCache) -> dict[str, str]:
    return {line.split()[0]: line.split()[1] for line in cache.control("status").splitlines()}


def goes_on(cache: ManagedCache) -> bool:
    """Whether all services run, on what they had."""
    until(cache.client.ping)
    return runs(cache) == {"cache": "RUNNING", "ml": "RUNNING"} and cache.client.keys("*") == ["later"]


def begun(system: Shop, backup: Manifest) -> subprocess.Popen[str]:
    """A restore of the cache, as far as its services are stopped."""
    plain = {name: value for name, value in os.environ.items() if name != family.MARK}
    told = [backup.id, "--from=away", "--only=cache", "--into=production", "--yes-overwrite=Shop", "--set", STOPPED]
    process = subprocess.Popen(
        [*COMMAND, *told, "--without-safety-backup"],
        cwd=system.folder,
        env={**plain, "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout
    said = [process.stdout.readline()]
    while "stopped: ml, cache" not in said[-1]:
        assert said[-1], said
        said.append(process.stdout.readline())
    return process


def last(system: Shop) -> journal.Restore:
    there = Journal(system.folder / system.loaded.settings.restore.journal).all()
    return max(there, key=lambda one: one.started)


def test_a_lost_session_exchanges_everything_back(system: Shop, backup: Manifest, cache: ManagedCache) -> None:
    process = begun(system, backup)
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGHUP)  # the shell says so as well as the kernel
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 2, output
    assert "interrupted: what was begun is taken back" in output
    assert last(system).state == journal.UNDONE
    assert goes_on(cache)


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_who_presses_ctrl_c_again_does_not_break_off_the_way_back(
    system: Shop, backup: Manifest, cache: ManagedCache, second: signal.Signals
) -> None:
    process = begun(system, backup)
    process.send_signal(signal.SIGINT)
    assert process.stdout
    said = [process.stdout.readline()]
    while "going back" not in said[-1]:
        assert said[-1], said
        process.send_signal(second)
        said.append(process.stdout.readline())
    process.send_signal(second)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 2, output
    assert "Ctrl-C does not end that" in said[-1]
    assert last(system).state == journal.UNDONE
    assert goes_on(cache)


def test_a_way_back_that_the_checks_began_is_not_broken_off_either(
    system: Shop, backup: Manifest, cache: ManagedCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def say(line: str) -> None:
        if line.startswith("going back"):
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Production, "look", lambda *_: (False, "the shop is closed"))
    done = Production(system.told(STOPPED), system.folder, say=say).restore("away", backup, ["cache"], safety=False)
    assert done.state == journal.UNDONE
    assert goes_on(cache)


def test_a_pipe_that_nobody_reads_any_more_ends_no_restore(system: Shop, backup: Manifest, cache: ManagedCache) -> None:
    process = begun(system, backup)
    assert process.stdout
    process.stdout.close()
    assert process.wait(120) == 0
    assert last(system).state == journal.DONE
    assert runs(cache) == {"cache": "RUNNING", "ml": "RUNNING"}
    assert sorted(cache.client.keys("*")) == ["cached", "queue", "session:1"]


def test_a_journal_that_cannot_be_written_any_more_exchanges_everything_back(
    system: Shop, backup: Manifest, cache: ManagedCache, tmp_path: Path
) -> None:
    """A file where its folder was stands for a full disk: both are an OSError."""
    said: list[str] = []
    folder = tmp_path / "journal"

    def say(line: str) -> None:
        said.append(line)
        if line.startswith("stopped: "):
            folder.rename(tmp_path / "away")
            folder.touch()

    production = Production(system.told(STOPPED, f"restore.journal={folder}"), system.folder, say=say)
    done = production.restore("away", backup, ["cache"], safety=False)
    assert done.state == journal.UNDONE
    assert sum("cannot be written: not a directory; it goes on without a record" in line for line in said) == 1
    assert goes_on(cache)


def test_a_journal_that_is_not_written_whole_leaves_nothing(tmp_path: Path) -> None:
    one = Journal(tmp_path)
    made = one.begin("20260101T000000Z-abcd", "b", "s", [])
    (tmp_path / made.id / "restore.json").unlink()
    (tmp_path / made.id / "restore.json").mkdir()
    with pytest.raises(RestoreError, match=f'"{tmp_path}/{made.id}/restore.json" cannot be written: is a directory'):
        one.save(made)
    assert [path.name for path in (tmp_path / made.id).iterdir()] == ["restore.json"]


def before_a_reboot(system: Shop, state: str) -> Production:
    """A restore that came to STATE when the machine went down."""
    production = Production(system.told(STOPPED), system.folder)
    left = production.journal.begin(new_id(), "20260101T000000Z", "away", ["config"])
    left.state, left.phase = state, "exchange"
    left.process = {"host": "tern", "place": "another boot", "pid": os.getpid(), "started": 1}
    production.journal.save(left)
    return production


@pytest.mark.parametrize("state", [journal.PREPARING, journal.EXCHANGING])
def test_one_from_before_a_reboot_can_be_taken_back(system: Shop, cache: ManagedCache, state: str) -> None:
    """The numbers of its processes mean others by now: the lock tells that nobody works on it."""
    before_a_reboot(system, state)
    status = subprocess.run([*COMMAND, "--status"], cwd=system.folder, capture_output=True, text=True, check=False)
    unseen = (
        f"not finished, and whether its process {os.getpid()} on tern lives cannot be seen from here; it was {state}"
    )
    assert unseen in status.stdout
    assert Production(system.told(STOPPED), system.folder).undo().state == journal.UNDONE


def test_one_whose_journal_cannot_be_written_can_be_taken_back(system: Shop, cache: ManagedCache) -> None:
    """As on a full disk."""
    production, said = before_a_reboot(system, journal.EXCHANGING), list[str]()

    class Full(Journal):
        def save(self, restore: journal.Restore) -> None:
            raise RestoreError("no space left on device")

    class Standing(Production):
        @property
        def journal(self) -> Journal:
            return Full(production.journal.folder)

    undone = Standing(system.told(STOPPED), system.folder, say=said.append).undo()
    assert undone.state == journal.UNDONE
    assert "no space left on device; it goes on without a record" in said
    assert production.undo().state == journal.UNDONE


def test_one_from_before_a_reboot_can_be_finished(system: Shop, cache: ManagedCache) -> None:
    """Who finishes it is who works on it from then on."""
    production, seen = before_a_reboot(system, journal.EXCHANGING), []

    def say(line: str) -> None:
        one = last(system)
        seen.append((one.alive, one.process["pid"]))

    production.say = say
    assert production.finish().state == journal.DONE
    assert (True, os.getpid()) in seen


def test_locks_are_taken_side_by_side(system: Shop) -> None:
    """What a dead machine left is watched for half a minute each, and services stand still meanwhile."""
    settings, names = system.loaded.settings, ["cache", "database", "ml"]
    store = Store.open(settings.history.url.get_secret_value(), "Shop", "staging", root=system.folder)
    all_of_them = Barrier(len(names), timeout=60)

    def take(name: str) -> Lock:
        all_of_them.wait()
        return store.lock(name, "mine")

    with ExitStack() as stack:
        assert [one.target for one in exclusion.together(stack, names, take)] == names
        with pytest.raises(Held), ExitStack() as other:
            exclusion.together(other, ["free", "ml"], lambda name: store.lock(name, "another"))
        store.lock("free", "mine").release()  # what the other got is given back
    store.lock("ml", "mine").release()


def test_one_whose_process_is_seen_to_live_is_left_alone(system: Shop, cache: ManagedCache) -> None:
    """As one that stood still until it lost its lock: it may go on any time."""
    with subprocess.Popen(["sleep", "100"]) as still:
        production = before_a_reboot(system, journal.EXCHANGING)
        left = last(system)
        started = int(Path(f"/proc/{still.pid}/stat").read_text().split()[21])
        left.process = asdict(replace(Process.current(), pid=still.pid, started=started))
        production.journal.save(left)
        with pytest.raises(RestoreError, match=f'"{left.id}" is going on \\(process {still.pid}\\)\n  hint: wait for'):
            production.undo()
        still.kill()
    assert production.undo().state == journal.UNDONE


@pytest.mark.parametrize("way", ["done", "undone"])
def test_a_service_that_was_stopped_on_purpose_stays_so(
    system: Shop, backup: Manifest, cache: ManagedCache, way: str
) -> None:
    cache.control("stop", "ml")
    checks = "restore.checks=postdeploy and there_is_no_such" if way == "undone" else "restore.checks="
    production = Production(system.told(STOPPED, checks), system.folder)
    done = production.restore("away", backup, ["cache"], safety=False)
    assert '"ml" does not run, and is not started' in done.story
    if way == "undone":
        assert done.state == journal.HELD
        done = Production(system.told(STOPPED), system.folder).undo()
    assert (done.state, runs(cache)) == (way, {"cache": "RUNNING", "ml": "STOPPED"})

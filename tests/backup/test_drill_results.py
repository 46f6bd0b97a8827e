"""What came of a drill is told, wherever it may be written, and says no more and no less than was looked at."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from pytest_runbook import clock
from pytest_runbook.backup import everything, programs
from pytest_runbook.backup.comparing import Proof
from pytest_runbook.backup.drill.drill import Drill
from pytest_runbook.backup.drill.fixture import Drilled, belonging
from pytest_runbook.backup.manifest import Manifest
from pytest_runbook.errors import UsageError

from tests.backup.systems import Shop, shop
from tests.backup.test_files import mounted


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with shop(tmp_path_factory.mktemp("shop")) as made:
        yield made


@pytest.fixture
def newer(system: Shop, backup: Manifest) -> Iterator[Manifest]:
    """A backup that is newer than the module's, without a cache."""
    made = everything.make(system.told("backup.cache.probe=").settings, system.folder, prune=False)
    yield made
    for name in ("local", "away"):
        system.place(name).remove(made.id)


SERVICE = """
import http.server, os, pathlib, sys, psycopg, redis
with psycopg.connect(os.environ["DATABASE"], autocommit=True) as session:
    session.execute("INSERT INTO note VALUES ('started')")
    session.execute("ALTER TABLE purchase ADD COLUMN paid boolean")
redis.Redis.from_url(os.environ["CACHE"]).set("heartbeat", "now")
next(pathlib.Path(os.environ["FILES"], "uploads").rglob("*.bin")).unlink()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler).serve_forever()
"""
"""It writes into the database and the cache, and removes a file, before it serves."""


def drilled(system: Shop, *overrides: str) -> Drilled:
    """A drill as the fixture of that name makes it."""
    told = system.told(*overrides)
    one = Drill(told, system.folder)
    return Drilled(one.run(), [], belonging(told.settings))


def test_one_whose_note_cannot_be_written_is_told_and_certified(system: Shop, backup: Manifest) -> None:
    """Off-site may be a place that a drill may only read."""
    block = system.folder / "away" / backup.id / "restored.json"
    block.unlink(missing_ok=True)  # of another test
    (block / "in-the-way").mkdir(parents=True)
    argv = [sys.executable, "-c", "from pytest_runbook.cli import main; main()", "drill", "--settings=shop.toml"]
    try:
        done = subprocess.run(argv, cwd=system.folder, capture_output=True, text=True, check=False)
    finally:
        (block / "in-the-way").rmdir()
        block.rmdir()
    assert (done.returncode, "proven: Shop can be restored from away" in done.stdout) == (0, True), done.stderr
    assert "drill: restored.json beside the backup could not be written: " in done.stdout
    human = Path(done.stdout.partition("certificate: ")[2].strip())
    paper = json.loads(human.with_suffix(".json").read_text())
    assert [one for one in paper["left_out"] if "restored.json beside the backup could not be written" in one]


def test_one_without_a_certificate_is_told_and_not_green(system: Shop, backup: Manifest) -> None:
    (system.folder / "in-the-way").write_text("")
    argv = [sys.executable, "-c", "from pytest_runbook.cli import main; main()", "drill", "--settings=shop.toml"]
    done = subprocess.run(
        [*argv, "--set=drill.reports=in-the-way"], cwd=system.folder, capture_output=True, text=True, check=False
    )
    assert (done.returncode, "proven: Shop can be restored" in done.stdout) == (1, True), done.stderr
    assert "the certificate could not be written: " in done.stdout
    assert "certificate: none" in done.stdout


def test_a_part_that_the_settings_do_not_name_is_skipped(system: Shop, newer: Manifest) -> None:
    found = drilled(system, "backup.cache.probe=")
    assert (found.certificate.verdict, found.certificate.backup) == ("proven", newer.id)
    assert (found.faults("database"), found.faults("files")) == ([], [])
    with pytest.raises(pytest.skip.Exception, match="the settings name no cache for a drill"):
        found.faults("cache")
    with pytest.raises(pytest.skip.Exception, match="the settings name no service for a drill"):
        found.faults("service")
    assert drilled(system).faults("cache") == ["missing: cache: was not backed up"]


def test_an_empty_cache_is_restored(system: Shop, backup: Manifest) -> None:
    system.cache.client.flushall()
    empty = system.backup()
    try:
        assert empty.cache and empty.cache.keys == {}
        found = drilled(system)
        assert (found.certificate.verdict, found.faults("cache")) == ("proven", [])
        assert [str(one.found) for one in found.certificate.proofs if one.what == "keys of all databases"] == ["0 keys"]
    finally:
        system.cache.client.set("session:1", "open")
        for name in ("local", "away"):
            system.place(name).remove(empty.id)


def test_a_disaster_leaves_what_was_finished_before_it(system: Shop, backup: Manifest, newer: Manifest) -> None:
    between = clock.parse(newer.finished) - timedelta(milliseconds=1)
    assert clock.parse(backup.finished) < between
    one = Drill(system.loaded, system.folder, disaster=between)
    assert one.plan()[0].startswith(f'take the backup "{backup.id}"')
    never = Drill(system.loaded, system.folder, disaster=clock.parse(backup.created) - timedelta(days=20)).run()
    assert (never.verdict, [fault.reason for fault in never.faults]) == ("failed", ["no-manifest"])
    assert "holds no finished backup of before" in never.faults[0].message
    late = Drill(system.loaded, system.folder, backup=newer.id, disaster=between)
    with pytest.raises(UsageError, match=f'the backup "{newer.id}" was finished at .*, after the disaster of '):
        late.run()


def test_what_a_service_writes_when_it_starts_is_no_difference(system: Shop, backup: Manifest) -> None:
    (system.folder / "service.py").write_text(SERVICE)
    command = json.dumps([sys.executable, str(system.folder / "service.py"), "{port}"])
    told = {name.upper(): f"{{{name}}}" for name in ("database", "cache", "files")}
    found = drilled(
        system,
        f"drill.service.command={command}",
        "drill.service.health=/",
        f"drill.service.environment={json.dumps(told)}",
    )
    paper = found.certificate
    assert (paper.faults, paper.trouble, paper.verdict) == ([], "", "proven")
    assert found.faults("service") == []
    assert paper.rto and "until the restored system served, but for the time that comparing took" in paper.rto.meaning
    seconds = {phase.name: phase.seconds for phase in paper.phases}
    assert [name for name in seconds if name in ("compare", "service")] == ["compare", "service"]
    assert paper.rto.seconds <= paper.seconds - seconds["compare"] - seconds["remove"]


def test_a_proof_that_failed_is_enough_to_fail(system: Shop, backup: Manifest) -> None:
    paper = drilled(system).certificate
    assert paper.verdict == "proven"
    paper.proofs.append(Proof("files, by their checksums", "8", "7", ok=False))
    assert (paper.verdict, paper.sentence) == ("failed", "Shop cannot be restored whole from away")


def test_a_pg_restore_that_was_killed_has_shown_nothing(system: Shop, backup: Manifest) -> None:
    place = system.scratch / "programs"
    place.mkdir(mode=0o755)
    for program in programs.postgresql(None, ("pg_restore", "initdb"), least=1).iterdir():
        (place / program.name).symlink_to(program)
    killed = place / "pg_restore"
    version = subprocess.check_output([killed, "--version"], text=True).strip()
    killed.unlink()
    killed.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo "{version}" || kill -9 $$\n')
    killed.chmod(0o755)
    paper = drilled(system, f"backup.programs.postgresql={place}").certificate
    assert (paper.verdict, paper.faults) == ("unmeasured", [])
    assert paper.trouble.startswith('"pg_restore" was ended by signal 9\n  hint: ')


def test_files_of_earlier_backups_need_room_too(system: Shop, backup: Manifest) -> None:
    """A drill does not begin where it would fill the disk, and what it asks for is enough."""
    large = system.folder / "uploads" / "large.bin"
    large.write_bytes(os.urandom(40_000_000))
    holder = system.backup()
    newest = system.backup()
    disk = system.scratch / "disk"
    disk.mkdir()
    try:
        assert (newest.needs >= {holder.id}, newest.size < 40_000_000) == (True, True)
        with mounted("-t", "tmpfs", "-o", "size=100m", "none", disk):
            paper = drilled(system, f"drill.folder={disk}").certificate
            assert (paper.verdict, paper.faults) == ("unmeasured", [])
            found = re.search(r"has 104.9 MB free, what is restored on its disk needs ([\d.]+) MB", paper.trouble)
        assert found, paper.trouble
        with mounted("-t", "tmpfs", "-o", f"size={int(float(found[1]) * 1e6) + 100_000}", "none", disk):
            paper = drilled(system, f"drill.folder={disk}").certificate
            assert (paper.trouble, paper.faults, paper.verdict) == ("", [], "proven")
    finally:
        large.unlink()
        disk.rmdir()
        for name in ("local", "away"):
            system.place(name).remove(newest.id)
            system.place(name).remove(holder.id)

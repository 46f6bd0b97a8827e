"""Drills on a real system: what is whole is proven, and what is not is told."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from pytest_runbook import clock
from pytest_runbook.backup import addresses, everything
from pytest_runbook.backup.destinations.folder import Folder
from pytest_runbook.backup.drill import proving
from pytest_runbook.backup.drill.certificate import Certificate
from pytest_runbook.backup.drill.drill import Drill, elsewhere, lost
from pytest_runbook.backup.drill.restoring import ScratchRestore
from pytest_runbook.backup.drill.service import serving
from pytest_runbook.backup.manifest import Manifest, Table
from pytest_runbook.checkrun import CheckRun
from pytest_runbook.errors import UsageError
from pytest_runbook.settings import load
from pytest_runbook.settings.drill import DrillService

from tests.backup.systems import Shop, shop
from tests.probes.databases import SECRET, PostgresServer, server_folder

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with shop(tmp_path_factory.mktemp("shop")) as made:
        yield made


@pytest.fixture(scope="module")
def other() -> Iterator[PostgresServer]:
    """A server that nobody uses."""
    with server_folder() as place:
        made = PostgresServer(place / "other", {})
        made.create()
        made.start()
        yield made
        made.stop()


def drill(system: Shop, *overrides: str) -> Drill:
    return Drill(system.told(*overrides), system.folder)


def test_a_whole_backup_is_proven(system: Shop, backup: Manifest) -> None:
    said: list[str] = []
    one = Drill(system.loaded, system.folder, say=said.append)
    paper = one.run()
    assert (paper.faults, paper.trouble, paper.verdict) == ([], "", "proven")
    assert (paper.backup, paper.source) == (backup.id, "away")
    assert [proof.what for proof in paper.proofs if not proof.ok] == []
    shown = {proof.what: proof.found for proof in paper.proofs}
    assert (shown["tables"], shown["rows"], shown["keys of database 0"]) == ("4", "3250", "3 keys, 1 of them expire")
    assert (shown["files, by their checksums"], shown["folders"]) == ("8", "3")
    assert shown["B-trees in order, by amcheck"] == "4"
    assert {phase.outcome for phase in paper.phases} == {"done"}
    assert paper.rto and paper.rto.ok
    # What nobody did is not said to be done.
    assert "served" not in paper.rto.meaning
    assert [one for one in paper.left_out if "no service was started" in one]
    assert paper.rpo and paper.rpo.ok
    assert len(said) == len(paper.phases)
    assert not any(system.database.uri() in line for line in said)
    assert [*system.scratch.iterdir()] == []

    human, machine = one.publish(paper)
    assert "proven" in human.read_text()
    told = json.loads(machine.read_text())
    assert (told["verdict"], told["rto"]["ok"]) == ("proven", True)
    noted = system.place().noted(backup.id, "restored.json")
    assert noted
    assert (noted["verdict"], noted["drill"]) == ("proven", paper.id)
    assert Certificate.from_json(told).backup == backup.id


def test_the_targets_of_the_settings_are_what_it_is_judged_by(system: Shop, backup: Manifest) -> None:
    paper = drill(system, "drill.rto=0.001").run()
    assert (paper.verdict, paper.faults, paper.rto and paper.rto.ok) == ("failed", [], False)
    assert "takes or costs too much" in paper.sentence


def test_the_loss_is_reckoned_from_the_newest_row(system: Shop, backup: Manifest) -> None:
    assert backup.database
    assert backup.database.newest_row
    newest = clock.parse(backup.database.newest_row)
    paper = Drill(system.loaded, system.folder, disaster=newest + timedelta(hours=3)).run()
    assert paper.rpo
    assert paper.rpo.seconds == pytest.approx(3 * 3600, abs=0.01)


def test_a_row_of_a_later_time_saves_nothing(system: Shop, backup: Manifest) -> None:
    disaster = backup.moment + timedelta(days=20)
    later = lost(backup, backup.moment + timedelta(days=30_000), disaster, 60.0)
    assert (later.seconds, later.ok) == (20 * 86_400, False)
    assert "the beginning of the backup" in later.meaning
    assert "its newest row is of a later time" in later.meaning
    assert "names no times of rows" in lost(backup, None, disaster, 60.0).meaning
    assert lost(backup, backup.moment - timedelta(days=1), disaster, 60.0).seconds == 21 * 86_400


def test_a_destination_without_a_backup_is_a_fault_and_one_that_is_unknown_bad_usage(system: Shop) -> None:
    empty = Drill(system.told("backup.destinations.away.path=nothing-there"), system.folder).run()
    assert (empty.verdict, [fault.reason for fault in empty.faults]) == ("failed", ["no-manifest"])
    with pytest.raises(UsageError, match='unknown destination "nowhere"'):
        Drill(system.loaded, system.folder, source="nowhere").run()


def test_a_disk_without_room_proves_nothing_and_has_a_certificate(
    system: Shop, backup: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert backup.database
    huge = dataclasses.replace(backup, database=dataclasses.replace(backup.database, size=2**60))
    monkeypatch.setattr(Folder, "manifest", lambda *_: huge)
    one = drill(system)
    paper = one.run()
    assert (paper.verdict, paper.faults) == ("unmeasured", [])
    assert f'"{system.scratch}/' in paper.trouble
    assert "needs 1,152,921,504" in paper.trouble
    assert "hint: make room, or set drill.folder" in paper.trouble
    assert [path.suffix for path in one.publish(paper)] == [".html", ".json"]


def test_a_disk_that_fills_up_proves_nothing(system: Shop, backup: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: ScratchRestore) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(self.home))

    monkeypatch.setattr(ScratchRestore, "_files", full)
    paper = drill(system).run()
    assert (paper.verdict, paper.faults) == ("unmeasured", [])
    assert "it cannot be written: [Errno 28] No space left on device" in paper.trouble
    assert [*system.scratch.iterdir()] == []


def test_what_cannot_be_started_proves_nothing(system: Shop, backup: Manifest) -> None:
    paper = drill(system, "backup.programs.postgresql=/nowhere").run()
    assert (paper.verdict, "has no" in paper.trouble) == ("unmeasured", True)
    assert paper.rto is None


def test_large_tables_have_their_turn(system: Shop, backup: Manifest) -> None:
    assert backup.database
    sizes = {"a": 5, "b": 900_000, "c": 800_000, "d": 20_000}
    told = dataclasses.replace(backup.database, tables={name: Table(rows) for name, rows in sizes.items()})
    seen = [frozenset(proving.sample(told, 1_000_000)) for _ in range(200)]
    assert all("a" in one and len(one) >= 2 for one in seen)
    assert {name for one in seen for name in one} == set(sizes)
    assert not any({"b", "c"} <= one for one in seen)
    assert proving.sample(told, 0) == set(sizes)
    assert proving.sample(told, 1) - {"a"}


def test_a_backup_that_was_made_while_others_wrote_is_proven(system: Shop) -> None:
    """A sequence is of no snapshot: between the dump and a look at it, it goes on."""
    system.database.sql("""CREATE TABLE IF NOT EXISTS "The Log" ("Its ""Id" bigserial, text text)""", "shop")
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            system.database.sql("INSERT INTO \"The Log\" (text) SELECT 'x' FROM generate_series(1, 100)", "shop")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        made = system.backup()  # raises unless it was read back and is good
    finally:
        stop.set()
        writer.join()
    try:
        assert made.database
        sequences = {name: value for name, value in made.database.sequences.items() if "Log" in name}
        assert [value for value in sequences.values() if value and value > 0], sequences
        paper = drill(system).run()
        assert (paper.faults, paper.trouble, paper.verdict) == ([], "", "proven")
    finally:
        for name in ("local", "away"):
            system.place(name).remove(made.id)
        system.database.sql('DROP TABLE "The Log"', "shop")


def test_a_given_server_is_used_and_left_as_it_was(system: Shop, backup: Manifest, other: PostgresServer) -> None:
    paper = drill(system, f"drill.server={other.uri()}").run()
    assert (paper.faults, paper.verdict) == ([], "proven")
    assert other.sql("SELECT datname FROM pg_database WHERE datname ~ 'drill'") == []
    assert other.sql("SELECT 1 FROM pg_roles WHERE rolname = 'shopkeeper'") == []


def test_two_drills_do_not_share_a_given_server(system: Shop, backup: Manifest, other: PostgresServer) -> None:
    """They would drop each other's database, and the verdict would be one on a good backup."""
    with other.connect(database="postgres") as session:
        session.execute("SELECT pg_advisory_lock(hashtext('runbook drill'))")
        paper = drill(system, f"drill.server={other.uri()}").run()
    assert (paper.verdict, "another drill uses the server" in paper.trouble) == ("unmeasured", True)


def test_a_part_that_is_not_in_the_backup_is_a_fault(system: Shop, backup: Manifest) -> None:
    poor = everything.make(system.told("backup.database.probe=").settings, system.folder)
    try:
        paper = drill(system).run()
    finally:
        for name in ("local", "away"):
            system.place(name).remove(poor.id)
    assert (paper.backup, paper.verdict) == (poor.id, "failed")
    assert [str(fault) for fault in paper.faults] == ["missing: database: was not backed up"]


def test_a_backup_is_not_proven_when_no_check_looked(system: Shop, backup: Manifest, tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "checks" / "database").mkdir(parents=True)
    (project / "pytest.ini").write_text("[pytest]\npython_files = checks/*.py\ntestpaths = checks\n")
    check = (
        'from pytest_runbook import check\n\n@check("daily", severity="P1")\ndef test_it():\n    {}\n    assert 1 < 2\n'
    )
    settings = project / "shop.toml"
    settings.write_text(
        (system.folder / "shop.toml").read_text().replace('"away"', f'"{system.folder / "away"}"')
        + '\n[services.database]\n[services.cache]\n[schedules]\nrecovery = "after a restore"\n'
    )
    for body, expression in (("pass", "recovery"), ("__import__('pytest').skip('not today')", "daily")):
        (project / "checks" / "database" / "shop.py").write_text(check.format(body))
        loaded = load(project, file=settings, environ={}, overrides=[f"drill.checks={expression}"])
        paper = Drill(loaded, project, settings).run()
        assert (paper.faults, paper.verdict) == ([], "unmeasured")
        assert "judged nothing" in paper.trouble
    (project / "checks" / "database" / "shop.py").write_text(check.format("pass"))
    paper = Drill(load(project, file=settings, environ={}, overrides=["drill.checks=daily"]), project, settings).run()
    assert (paper.verdict, paper.checks) == ("proven", "1 of 1 recovery checks passed"), paper.trouble


def test_checks_are_told_what_the_user_said_but_not_where_production_is() -> None:
    told = ("limits.x=1", "probes.cache.uri=redis://production", "probes.web.url=http://production")
    assert elsewhere(told, {"RUNBOOK__PROBES__CACHE__URI": "redis://scratch"}) == [told[0], told[2]]


def test_a_service_is_told_nothing_of_production(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://production")
    monkeypatch.setenv("RUNBOOK__PROBES__CACHE__URI", "redis://production")
    write = "import os, json, sys; json.dump(dict(os.environ), open('env.json', 'w'))"
    serve = "from http.server import *; HTTPServer(('127.0.0.1', int(sys.argv[1])), SimpleHTTPRequestHandler).serve_forever()"
    own = DrillService(
        command=(sys.executable, "-c", f"{write}; {serve}", "{port}"),
        environment={"DATABASE": "{database}"},
        health="/",
    )
    with serving(own, tmp_path, {"database": "postgresql://scratch"}):
        seen = json.loads((tmp_path / "env.json").read_text())
    assert "production" not in str(seen)
    assert (seen["DATABASE"], seen["PATH"]) == ("postgresql://scratch", os.environ["PATH"])


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])
def test_a_scratch_server_that_is_production_is_refused(system: Shop, backup: Manifest, host: str) -> None:
    before = system.database.sql("SELECT oid FROM pg_database ORDER BY 1")
    paper = drill(system, f"drill.server={system.database.uri().replace('127.0.0.1', host)}").run()
    assert paper.verdict == "unmeasured"
    assert "the scratch server is" in paper.trouble
    assert SECRET not in paper.trouble
    assert system.database.sql("SELECT oid FROM pg_database ORDER BY 1") == before


def test_a_server_that_a_probe_looks_at_is_refused_under_another_address_too(
    system: Shop, backup: Manifest, other: PostgresServer
) -> None:
    named = drill(system, f"drill.server={other.uri()}", f"probes.standby.uri={other.uri()}").run()
    assert 'that of the probe "standby"' in named.trouble
    assert addresses.same_place({"host": "localhost", "port": 5432}, {"host": "127.0.0.1"})
    assert addresses.same_place({"host": "/run/postgresql"}, {"host": "127.0.0.2", "port": "5432"})
    assert not addresses.same_place({"host": "localhost", "port": 5433}, {"host": "localhost"})
    assert not addresses.same_place({"host": "192.0.2.1"}, {"host": "localhost"})


# -- the commands --------------------------------------------------------------------------------------------------------


def run(system: Shop, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-c", "from pytest_runbook.cli import main; main()", "drill", *arguments]
    return subprocess.run(argv, cwd=system.folder, capture_output=True, text=True, check=False)


def test_the_command_says_what_it_would_do(system: Shop, backup: Manifest) -> None:
    done = run(system, "--settings=shop.toml", "--dry-run")
    assert (done.returncode, f'would take the backup "{backup.id}"' in done.stdout) == (0, True), done.stderr
    assert not (system.folder / "var" / "drills" / "nothing").exists()


def test_the_command_proves_and_its_status_says_so(system: Shop, backup: Manifest) -> None:
    good = run(system, "--settings=shop.toml", "--json")
    assert (good.returncode, json.loads(good.stdout)["verdict"]) == (0, "proven"), good.stderr
    late = run(system, "--settings=shop.toml", "--set=drill.rpo=0.001")
    assert (late.returncode, "beyond its target" in late.stdout) == (1, True), late.stderr
    assert SECRET not in good.stdout + good.stderr + late.stdout + late.stderr


def test_one_that_is_cancelled_leaves_nothing(system: Shop, backup: Manifest) -> None:
    argv = [sys.executable, "-c", "from pytest_runbook.cli import main; main()", "drill", "--settings=shop.toml"]
    with subprocess.Popen(argv, cwd=system.folder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert "the backup is chosen" in process.stdout.readline()
        process.terminate()
    assert process.returncode == 2
    assert [*system.scratch.iterdir()] == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--from=nowhere"], "unknown destination"),
        (["--disaster=yesterday"], "is no moment"),
        (["nonsense", "--dry-run"], "is no backup"),
    ],
)
def test_bad_usage_is_told(system: Shop, backup: Manifest, arguments: list[str], said: str) -> None:
    done = run(system, "--settings=shop.toml", *arguments)
    assert (done.returncode, said in done.stderr) == (4, True), done.stderr


def test_checks_ask_one_drill(system: Shop, backup: Manifest, tmp_path: Path) -> None:
    """`pytest -m drill`, with the checks of this repository, on a system that has no service."""
    project = tmp_path / "project"
    (project / "checks" / "storage").mkdir(parents=True)
    shutil.copy(ROOT / "checks" / "storage" / "drill.py", project / "checks" / "storage")
    (project / "remediation").mkdir()
    shutil.copy(ROOT / "remediation" / "drill-failed.py", project / "remediation")
    text = (system.folder / "shop.toml").read_text() + "\n[services.storage]\n"
    for name in ("local", "away"):
        text = text.replace(f'path = "{name}"', f'path = "{system.folder / name}"')
    (project / "shop.toml").write_text(text)
    told = ["[pytest]", "runbook_settings = shop.toml", "python_files = checks/*.py", "testpaths = checks", ""]
    (project / "pytest.ini").write_text("\n".join(told))
    record = CheckRun(project, tmp_path / "report", "drill").record()
    assert {one.check.id.partition("::")[2]: one.outcome for one in record.results} == {
        "database_is_restored": "passed",
        "cache_is_restored": "passed",
        "files_are_restored": "passed",
        # The settings name neither a service nor recovery checks.
        "restored_system_serves": "skipped",
        "recovery_time": "passed",
        "recovery_point": "passed",
    }
    assert len([*(project / "var" / "drills").iterdir()]) == 1
    values = {one.name: one.value for result in record.results for one in result.measurements}
    assert set(values) == {"drill.rto", "drill.rpo"}

    unasked = CheckRun(project, tmp_path / "unasked", "").record()
    assert {one.outcome for one in unasked.results} == {"skipped"}
    bad = CheckRun(project, tmp_path / "bad", "drill", overrides=["backup.destinations.away.path=/nowhere"]).record()
    assert {one.outcome for one in bad.results} == {"failed", "unmeasured", "skipped"}

"""`./run drill`: a whole system comes up, is backed up, loses everything, and is restored from what lies off-site.

What is proven, with RTO and RPO, stands in a certificate. Exit status 0 when everything is there again, 1 when it is not.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pytest_runbook import clock
from pytest_runbook.backup import destinations
from pytest_runbook.backup.comparing import Proof
from pytest_runbook.backup.drill import certificate as papers
from pytest_runbook.backup.drill.certificate import Certificate, Target
from pytest_runbook.backup.drill.drill import lost
from pytest_runbook.backup.restore import journal
from pytest_runbook.backup.restore.production import PARTS, Production
from pytest_runbook.backup.verdict import Fault
from pytest_runbook.backup.verifying import software
from pytest_runbook.errors import RunbookError
from pytest_runbook.evidence.redaction import Redactor
from pytest_runbook.naming import person
from pytest_runbook.settings import Loaded, load

from lab import Lab, disaster
from lab.servers.postgresql import DATABASE, Database
from lab.servers.redis import Cache

ROOT = Path(__file__).parent.parent
PLACE = ROOT / "var" / "drill"
SOURCE = "s3"
ROWS, KEYS, FILES = 5_000, 500, 20
BEFORE = "drill-"
"""What rows, keys and files of the drill are called."""
AFTER = "late-"
"""What rows are called that came after the backup: they are lost, as they would be."""


@dataclass(frozen=True)
class Held:
    """What of the drill's own data a system holds."""

    rows: str
    late: int
    keys: int
    files: int


def main() -> int:
    """Do all of it, and say how it went."""
    begun = time.monotonic()
    lab = Lab(PLACE / "lab")
    lab.down(purge=True)
    try:
        lab.up(progress=lambda line: print(f"lab: {line}", flush=True))
        quiet(lab)
        fill(lab)
        backup = back_up(lab)
        insert(lab, AFTER, 3)
        held = look(lab)
        print(
            f"before the disaster: {ROWS} rows, {KEYS} keys and {FILES} files of the drill; {held.late} rows more since"
        )
        moment = strike(lab)
        paper = recover(lab, backup, moment, held)
    finally:
        print("lab: going down", flush=True)
        lab.down()
    written = papers.write(paper, PLACE / "certificate", Redactor(loaded(lab).secrets))
    tell(paper)
    print(f"\ncertificate: {written[0].as_uri()}\nall of it took {time.monotonic() - begun:.0f} s")
    return 0 if paper.verdict == papers.PROVEN else 1


def loaded(lab: Lab) -> Loaded:
    """The settings of the lab's system; the history of the drill is its own."""
    return load(ROOT, file=ROOT / "nightscan.toml", environ=variables(lab))


def variables(lab: Lab) -> dict[str, str]:
    """What tells of the lab's system; what is kept of a drill goes with its lab."""
    own = {"RUNBOOK__HISTORY__URL": f"sqlite:///{lab.site.path('history.db')}"}
    return {**os.environ, **lab.environment(), **own}


def quiet(lab: Lab) -> None:
    """Users and workers pause: what is counted should not move."""
    for name in ("traffic", "worker"):
        lab.supervisor.stop(name)


def insert(lab: Lab, word: str, rows: int) -> None:
    """Put ROWS rows whose names begin with WORD into the database."""
    with Database(lab.site).connect(database=DATABASE) as connection:
        connection.execute(
            "INSERT INTO prediction (user_id, filename, file_size)"
            " SELECT 1 + mod(n, 50), %s || n, n FROM generate_series(1, %s) AS n",
            (word, rows),
        )


def fill(lab: Lab) -> None:
    """Data that no fresh system has."""
    insert(lab, BEFORE, ROWS)
    with Cache(lab.site).connect() as client:
        client.mset({f"{BEFORE}{number}": "kept" for number in range(KEYS)})
    for number in range(FILES):
        (lab.site.home / "uploads" / f"{BEFORE}{number}.bin").write_bytes(os.urandom(20_000))


def look(lab: Lab) -> Held:
    """What of it the lab holds now."""
    with Database(lab.site).connect(database=DATABASE) as connection:
        counted = connection.execute(
            "SELECT count(*) || ' rows, checksum ' || coalesce(sum(hashtextextended(p::text, 0)::numeric), 0)"
            " FROM prediction AS p WHERE filename LIKE %s",
            (f"{BEFORE}%",),
        ).fetchone()
        late = connection.execute("SELECT count(*) FROM prediction WHERE filename LIKE %s", (f"{AFTER}%",)).fetchone()
    with Cache(lab.site).connect() as client:
        keys = sum(1 for _ in client.scan_iter(f"{BEFORE}*", count=1000))
    files = len([*(lab.site.home / "uploads").glob(f"{BEFORE}*")])
    return Held(str(counted and counted[0]), int(late[0]) if late else 0, keys, files)


def back_up(lab: Lab) -> str:
    """A backup by the command, as cron would make it; its id."""
    print("\n$ runbook backup", flush=True)
    command = [sys.executable, "-c", "from pytest_runbook.cli import main; main()", "backup"]
    done = subprocess.run(command, cwd=ROOT, env=variables(lab), text=True, stdout=subprocess.PIPE, check=True)
    print(done.stdout, end="", flush=True)
    return done.stdout.split()[-1]


def strike(lab: Lab) -> datetime:
    """Everything is gone; a new machine has empty servers. The moment of the disaster."""
    moment = datetime.now(UTC)
    lab.down()
    gone = disaster.strike(lab.site)
    print(f"\nDISASTER at {clock.iso(moment)}: {', '.join(path.name for path in gone)} are destroyed", flush=True)
    lab.up(progress=lambda line: print(f"new machine: {line}", flush=True))
    quiet(lab)
    return moment


def recover(lab: Lab, backup: str, moment: datetime, held: Held) -> Certificate:
    """Restore the off-site copy of BACKUP into the lab, and compare with what it HELD."""
    told = loaded(lab)
    paper = Certificate(
        id=f"{moment:%Y%m%dT%H%M%SZ}-disaster",
        system=told.settings.system.name,
        environment=told.settings.system.environment,
        source=SOURCE,
        started=clock.iso(moment),
        disaster=clock.iso(moment),
        host=socket.gethostname(),
        user=person(),
        backup=backup,
    )
    print(f"\n$ runbook restore {backup} --from {SOURCE} --into production", flush=True)
    production = Production(told, ROOT, say=lambda line: print(f"restore: {line}", flush=True), phases=paper.phases)
    os.environ.update(variables(lab))  # for the checks that the restore runs
    try:
        manifest = production.judge(SOURCE, backup)
        paper.created, paper.bytes, paper.software = manifest.created, manifest.size, software()
        restored = production.restore(SOURCE, manifest, PARTS)
        if restored.state != journal.DONE:
            paper.faults.append(Fault("not-restored", "", restored.story[-1]))
        paper.proofs += production.proofs
        paper.checks = next((line for line in restored.story if "checks looked" in line), "")
    except RunbookError as error:
        paper.trouble = str(error)
        return paper
    took = (clock.now() - moment).total_seconds()
    paper.rto = Target("RTO", took, told.settings.drill.rto, "from the disaster until the restored system was verified")
    newest = manifest.database and manifest.database.newest_row
    paper.rpo = lost(manifest, clock.parse(newest) if newest else None, moment, told.settings.drill.rpo)
    compare(paper, held, look(lab))
    place = destinations.connect(SOURCE, told.settings, ROOT)
    paper.place, paper.finished = place.place, clock.iso(clock.now())
    place.note(backup, "restored.json", paper.note())
    place.close()
    return paper


def compare(paper: Certificate, held: Held, now: Held) -> None:
    """Whether what is there NOW is what was HELD."""
    for what, before, after in (
        ("rows of the drill", held.rows, now.rows),
        ("keys of the drill", held.keys, now.keys),
        ("files of the drill", held.files, now.files),
        ("rows after the backup, which are lost", 0, now.late),
    ):
        proof = Proof(what, str(before), str(after), before == after)
        paper.proofs.append(proof)
        if not proof.ok:
            paper.faults.append(Fault("not-restored", what, f"{after} instead of {before}"))


def tell(paper: Certificate) -> None:
    """The outcome, for people."""
    print(f"\n{paper.verdict}: {paper.sentence}")
    for target in (paper.rto, paper.rpo):
        if target:
            print(f"  {target}")
    for proof in paper.proofs:
        print(f"  {proof.what}: {proof.found} ({'same' if proof.ok else f'should be {proof.expected}'})")
    for fault in paper.faults:
        print(f"  {fault}")
    if paper.trouble:
        print(f"  {paper.trouble}")


if __name__ == "__main__":
    sys.exit(main())

"""The small system around restores into production: what it holds, what they leave, and how they are killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from pytest_runbook.backup.restore import journal
from pytest_runbook.backup.restore.journal import Restore
from pytest_runbook.backup.restore.production import Production
from pytest_runbook.errors import RestoreError
from pytest_runbook.runbooks import family

from tests.backup.systems import Shop
from tests.probes.databases import until


@dataclass(frozen=True)
class Seen:
    """What the system holds."""

    customers: int
    keys: tuple[str, ...]
    files: tuple[str, ...]
    config: str


def look(system: Shop) -> Seen:
    until(system.cache.client.ping)
    return Seen(
        system.database.sql("SELECT count(*) FROM customer", "shop")[0][0],
        tuple(sorted(map(str, system.cache.client.keys("*")))),
        tuple(sorted(path.name for path in (system.folder / "uploads" / "2026").iterdir())),
        (system.folder / "config" / "shop.json").read_text(),
    )


BEFORE = Seen(200, ("cached", "queue", "session:1"), ("0.bin", "1.bin", "2.bin", "3.bin", "4.bin"), '{"open": true}')
AFTER = Seen(210, ("later",), ("0.bin", "1.bin", "2.bin", "3.bin"), "{}")


def change(system: Shop) -> None:
    """The system goes on after its backup, and loses something."""
    system.database.sql("DELETE FROM customer WHERE name LIKE 'late%'", "shop")
    system.database.sql("INSERT INTO customer (name) SELECT 'late ' || n FROM generate_series(1, 10) AS n", "shop")
    until(system.cache.client.flushall)
    system.cache.client.set("later", "yes")
    (system.folder / "uploads" / "2026" / "4.bin").unlink(missing_ok=True)
    (system.folder / "config" / "shop.json").write_text("{}")
    (system.folder / "closed").unlink(missing_ok=True)
    tidy(system)
    assert look(system) == AFTER


def restoring(system: Shop, *overrides: str) -> Production:
    return Production(system.told(*overrides), system.folder)


BESIDE = ("*.restore-*", "*.before-*", ".runbook-restore-*")


def left(system: Shop) -> list[str]:
    """What a restore made and did not take away."""
    databases = system.database.sql("SELECT datname FROM pg_database WHERE datname ~ '_(restore|before)_'")
    paths = [path for pattern in BESIDE for path in system.folder.glob(pattern)]
    return [name for (name,) in databases] + [str(path) for path in paths]


def kept(system: Shop, word: str) -> tuple[str, Path]:
    """The database and the uploads that lie beside as WORD."""
    ((database,),) = system.database.sql(f"SELECT datname FROM pg_database WHERE datname ~ '_{word}_'")
    (uploads,) = system.folder.glob(f"uploads.{word}-*")
    return database, uploads


def tidy(system: Shop) -> None:
    """As a person does it in the end."""
    for name in left(system):
        if name.startswith("/"):
            path = Path(name)
            assert path.parent == system.folder
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        else:
            system.database.sql(f'DROP DATABASE "{name}" WITH (FORCE)')


KILLED = """
import os, signal, sys
from pathlib import Path
from pytest_runbook.backup.restore import exchange, journal, production
from pytest_runbook.settings import load
folder, backup, when, number = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
phase, count = "", 0
def die():
    os.kill(os.getpid(), signal.SIGKILL)
def then_die(function):
    def called(*arguments):
        global count
        function(*arguments)
        count += phase == when
        if count == number:
            die()
    return called
save = journal.Journal.save
def dying(self, restore):
    global phase, count
    save(self, restore)
    phase = restore.phase
    count += phase == when == "prepare"
    if (phase == when and count == number) or (" " in when and any(when in line for line in restore.story)):
        die()
journal.Journal.save = dying
if when == "keep":
    exchange.Exchange.kept = lambda *arguments: die()
elif when == "removal":
    phase = when
    production.remove_made, production.drop_database = then_die(production.remove_made), then_die(production.drop_database)
    dying = save
    journal.Journal.save = save
elif number:
    exchange.Exchange._rename = then_die(exchange.Exchange._rename)
one = production.Production(load(folder, file=folder / "shop.toml", environ={}), folder)
if backup:
    one.restore("away", one.judge("away", backup), production.PARTS, safety=False)
else:
    one.undo()
"""


def killed(system: Shop, backup: str, when: str, number: int = 0) -> Restore:
    """A restore, or without BACKUP an undo, that is killed at the phase WHEN, or in it when NUMBER things were done.

    WHEN of several words: when the story says so.
    """
    argv = [sys.executable, "-c", KILLED, str(system.folder), backup, when, str(number)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    (one,) = (one for one in restoring(system).journal.all() if one.open)
    assert one.alive is False
    return one


def undone_twice(system: Shop) -> None:
    undone = restoring(system).undo()
    assert (undone.state, look(system)) == (journal.UNDONE, AFTER)
    with pytest.raises(RestoreError, match="unfinished: none"):
        restoring(system).undo()
    assert look(system) == AFTER


def run(system: Shop, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-c", "from pytest_runbook.cli import main; main()", "restore", *arguments]
    plain = {name: value for name, value in os.environ.items() if name != family.MARK}
    return subprocess.run(argv, cwd=system.folder, capture_output=True, text=True, check=False, input=text, env=plain)

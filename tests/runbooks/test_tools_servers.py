"""Databases, caches and service managers in the hands of a step: reached as the settings say, ended with the step."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_runbook.model import StepOutcome

from tests.managers.supervisord import CONTROL, supervisord
from tests.probes.databases import SECRET, PostgresServer, RedisServer, black_hole, free_port, server_folder, until
from tests.runbooks.performing import Book


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with server_folder() as folder:
        made = PostgresServer(folder / "data", {})
        made.create()
        try:
            made.start()
            yield made
        finally:
            made.stop()


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(tmp_path, secrets=[SECRET])


@pytest.fixture
def database(book: Book, server: PostgresServer) -> Book:
    """A book that knows `database`."""
    book.settings(f'[probes.database]\nkind = "postgresql"\nuri = "{server.uri()}"\n')
    return book


def step(book: Book, action: str) -> None:
    book.write(f'@correct()\ndef step(at):\n    """Do it."""\n    return {action}\n')


def test_a_statement_is_done_at_once_and_its_rows_are_shown(database: Book, server: PostgresServer) -> None:
    server.sql("CREATE TABLE IF NOT EXISTS one (a int, b text)")
    book = database
    book.write('''
@correct()
def step(at):
    """Do it."""
    return [
        sql("database", "INSERT INTO one VALUES (%s, %s), (2, '100%%')", 1, "it's"),
        sql("database", "VACUUM ANALYZE one"),
        sql("database", "SELECT a, b FROM one ORDER BY a"),
        sql("database", "DO $$ BEGIN RAISE WARNING 'three'; END $$"),
    ]
''')
    done = book.perform()
    assert (done.outcome, done.why) == (StepOutcome.DONE, "")
    assert "1  it's\n2  100%\n" in done.output
    assert "WARNING: three\n" in done.output
    assert server.sql("SELECT count(*) FROM one") == [(2,)]


@pytest.mark.parametrize(
    ("statement", "value"),
    [("SELECT 1", True), ("SELECT 0, 'x'", False), ("SELECT 1 WHERE false", False), ("SELECT NULL", False)],
)
def test_a_condition_is_the_first_value(database: Book, statement: str, value: bool) -> None:
    database.write(f'''
@correct(only_if=lambda at: sql("database", "{statement}"))
def step(at):
    """Do it."""
    return command("true")
''')
    assert database.perform("step", "only_if").value is value


def test_what_the_server_says_is_told_in_words(database: Book) -> None:
    step(database, 'sql("database", "SELECT * FROM nothing_here")')
    done = database.perform()
    assert done.why == '"database": relation "nothing_here" does not exist'
    assert done.output == ""
    database.write('''
def ask(tools):
    """Ask."""
    tools.database().execute("SELECT 1/0")

@correct()
def step(at):
    """Do it."""
    return call(ask)
''')
    done = database.perform()
    assert (done.why, done.output) == ('"postgresql": division by zero', "")


def test_a_server_that_is_not_there_is_told(book: Book) -> None:
    port = free_port()
    book.settings(f'[probes.database]\nkind = "postgresql"\nuri = "postgresql://me:{SECRET}@127.0.0.1:{port}/x"\n')
    step(book, 'sql("database", "SELECT 1")')
    assert book.perform().why.startswith('"database": ')
    step(book, 'sql("other", "SELECT 1")')
    assert book.perform().why == 'unknown postgresql probe "other" (known: database)'
    with black_hole() as silent:
        book.settings(
            f'[probes.database]\nkind = "postgresql"\nuri = "postgresql://me:{SECRET}@127.0.0.1:{silent}/x"\n'
            "connect_timeout = 2\n"
        )
        step(book, 'sql("database", "SELECT 1")')
        assert "timeout expired" in book.perform().why


@pytest.mark.parametrize("stubborn", [False, True])
def test_a_statement_ends_with_its_step(database: Book, server: PostgresServer, stubborn: bool) -> None:
    ignore = "signal.signal(signal.SIGTERM, signal.SIG_IGN)" if stubborn else ""
    database.write(f'''
import signal

def wait(tools):
    """Wait."""
    {ignore}
    tools.database().execute("SET statement_timeout = 0")
    tools.database().execute("SELECT pg_sleep(1000)")

@correct()
def step(at):
    """Do it."""
    return call(wait)
''')
    assert database.perform(timeout=3).outcome == StepOutcome.TIMED_OUT
    asked = "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(1000)%' AND pid <> pg_backend_pid() AND state = 'active'"
    until(lambda: not server.sql(asked), 5)


def test_a_statement_has_the_time_of_its_step(database: Book) -> None:
    step(database, 'sql("database", "SHOW statement_timeout")')
    said = database.perform(timeout=20).output
    assert 15 < float(said.removesuffix("ms\n")) / 1000 <= 20


def test_a_cache_answers_text(book: Book, tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    try:
        book.settings(f'[probes.cache]\nkind = "redis"\nuri = "{server.uri}"\n')
        book.write('''
def use(tools):
    """Use."""
    cache = tools.cache()
    cache.rpush("queue", "é")
    return cache.lrange("queue", 0, -1) + [tools.cache("cache").ping()]

def misuse(tools):
    """Misuse."""
    tools.cache().get("queue")

@correct()
def step(at):
    """Do it."""
    return call(use)

@correct()
def wrong(at):
    """Do it wrongly."""
    return call(misuse)
''')
        assert book.perform().output == "['é', True]\n"
        assert book.perform("wrong").why == '"redis": WRONGTYPE Operation against a key holding the wrong kind of value'
    finally:
        server.stop()
    done = book.perform()
    assert (done.outcome, "refused" in done.why, SECRET in done.why) == (StepOutcome.FAILED, True, False)


def test_a_manager_restarts_the_unit_of_a_service(book: Book) -> None:
    folder = Path(tempfile.mkdtemp(prefix="runbook-"))
    try:
        with supervisord(folder):
            book.settings(f'''
[services.web]
manager = "here"
unit = "base"
[services.cache]
[managers.here]
kind = "supervisor"
command = {list(CONTROL)!r}
config = "{folder}/supervisord.conf"
''')
            book.write('''
@correct()
def step(at):
    """Do all."""
    return [manage("status"), manage("restart", "web"), manage("version"), manage("logs"), manage("stop"), manage("status")]

@correct()
def other(at):
    """Nobody's."""
    return manage("restart", "cache")

def switch(tools):
    """See the manager."""
    manager, unit = tools.manager("web")
    return f"{unit} {manager.status(unit).state}"

@correct()
def called(at):
    """Ask."""
    return call(switch)
''')
            done = book.perform(timeout=60)
            assert (done.outcome, done.why) == (StepOutcome.DONE, "")
            lines = done.output.splitlines()
            assert lines[0] == "$ service manager: status web"
            assert lines[1].startswith("base: stopped")
            assert lines[3].startswith("base: running since 20")
            assert lines[-1].startswith("base: stopped")
            assert book.perform("called").output == "base stopped\n"
            assert 'the service "cache" has no manager (known: here)' in book.perform("other").why
    finally:
        shutil.rmtree(folder, ignore_errors=True)

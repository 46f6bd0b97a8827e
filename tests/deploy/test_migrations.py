"""A version that has migrated the database is not left for one that may not work with that; there is a way forth."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from tests.deploy.shop import GOOD, Shop, keyboard
from tests.deploy.test_taken_up import asked
from tests.probes.databases import PostgresServer, server_folder

FAILING = "2.0-failing"
STRANGE = "unknown revision in the database"
ONCE = ("--set", "deploy.confirm.passes=1", "--set", "deploy.confirm.of=1")
FORTH = ["switch", "healthy", "verify"]


@pytest.fixture(scope="module")
def database() -> Iterator[PostgresServer]:
    """The database of the shop, at revision a1."""
    with server_folder() as folder:
        server = PostgresServer(folder / "data", {})
        try:
            server.create()
            server.start()
            server.sql("CREATE TABLE alembic_version (version_num text); INSERT INTO alembic_version VALUES ('a1')")
            yield server
        finally:
            server.stop()


@pytest.fixture
def known(market: Shop, database: PostgresServer) -> Sequence[str]:
    """Settings that say where the revision stands, at a1."""
    database.sql("UPDATE alembic_version SET version_num = 'a1'")
    settings = market.folder / "with-database.toml"
    more = f'[probes.database]\nkind = "postgresql"\nuri = "{database.uri()}"\n[backup.database]\nprobe = "database"\n'
    settings.write_text((market.folder / "shop.toml").read_text() + more)
    return ("--settings", str(settings))


@contextmanager
def starting(market: Shop, what: str) -> Iterator[None]:
    """The services do WHAT, a line of a shell that knows $VERSION, before they start."""
    start = market.folder / "start"
    text = start.read_text()
    start.write_text(text.replace("exec ", f"{what}\nexec "))
    try:
        yield
    finally:
        start.write_text(text)
        (market.folder / "migrated").unlink(missing_ok=True)


def migrating(market: Shop, *, late: str = "") -> str:
    """Version 2.0 migrates when it starts; any other does not start after that, or ends LATE."""
    mark = market.folder / "migrated"
    refuse = f'[ -e "{mark}" ] && {late} echo "{STRANGE}" >&2 && exit 1'
    return f'case "$VERSION" in 2.0*) touch "{mark}";; *) {refuse};; esac'


def moving(market: Shop, database: PostgresServer) -> str:
    """Version 2.0 has the database at b2 when it starts."""
    change = "UPDATE alembic_version SET version_num = 'b2'"
    script = market.folder / "migrate.py"
    script.write_text(f"import psycopg\nwith psycopg.connect({database.uri()!r}) as it: it.execute({change!r})\n")
    return f'case "$VERSION" in 2.0*) {sys.executable} "{script}" || exit 1;; esac'


def test_who_has_migrated_and_serves_is_held_and_has_a_way_forth(
    market: Shop, database: PostgresServer, known: Sequence[str]
) -> None:
    with starting(market, moving(market, database)):
        code, output = market.runbook("deploy", FAILING, *known, *ONCE)
        assert code == 6, output
        asks = f'the database was migrated from "a1" to "b2", and whether web {GOOD}, ml {GOOD} works with that nobody knows'
        assert f"held: {asks}; verify failed: " in output
        assert "--abort ends it on the version before, --forth on the new one" in output
        assert market.served() == {FAILING}
        assert market.phases[-1] == ("verify", "failed")
        code, output = market.runbook("deploy", "--resume", *known, *ONCE)
        assert (code, market.served()) == (6, {FAILING}), output
        code, output = market.runbook("deploy", "--abort", *known, *ONCE)
        assert (code, market.served()) == (0, {GOOD}), output


def test_who_has_migrated_and_does_not_serve_is_taken_back(
    market: Shop, database: PostgresServer, known: Sequence[str]
) -> None:
    with starting(market, moving(market, database)):
        code, output = market.runbook("deploy", "2.0-no-start", *known)
    assert code == 1, output
    assert f'going back to web {GOOD}, ml {GOOD}; the database was migrated from "a1" to "b2"\n' in output
    assert (market.row.outcome, market.served()) == ("rolled-back", {GOOD})


def test_who_has_migrated_is_taken_back_where_versions_bear_that(
    market: Shop, database: PostgresServer, known: Sequence[str]
) -> None:
    with starting(market, moving(market, database)):
        code, output = market.runbook("deploy", FAILING, *known, *ONCE, "--set", "deploy.back_over_migrations=true")
    assert code == 1, output
    assert (market.row.outcome, market.served()) == ("rolled-back", {GOOD})


def test_who_has_not_migrated_is_taken_back(market: Shop, known: Sequence[str]) -> None:
    code, output = market.runbook("deploy", FAILING, *known, *ONCE)
    assert code == 1, output
    assert f'going back to web {GOOD}, ml {GOOD}; the database is at "a1", as before\n' in output
    assert market.served() == {GOOD}


@pytest.mark.parametrize(("late", "phase"), [("", "switch-back"), ("sleep 1.5;", "healthy-back")])
def test_new_version_serves_again_when_the_one_before_does_not(market: Shop, late: str, phase: str) -> None:
    """Nothing tells of the migration; what does not start may take a while for that."""
    with starting(market, migrating(market, late=late)):
        code, output = market.runbook("deploy", FAILING, *ONCE)
        assert code == 6, output
        assert "whether the database was migrated is not known: " in output
        assert f"going forth again to web {FAILING}, ml {FAILING}, which served\n" in output
        assert f"held: {FAILING} serves again; {phase} failed: " in output
        assert market.phases[-2:] == [("switch", "done"), ("healthy", "done")]
        assert market.served() == {FAILING}
        assert market.runbook("deploy", "--resume", "--dry-run") == (0, f"deployment 1 of {FAILING}: healthy, verify\n")
        code, output = market.runbook("deploy", "--resume", *ONCE)
        assert (code, market.phases[-1]) == (6, ("verify", "failed")), output  # it does not go back once more by itself
        assert market.served() == {FAILING}


def test_a_way_back_that_was_asked_for_is_held_and_finished_forth(market: Shop) -> None:
    with starting(market, migrating(market)):
        assert market.runbook("deploy", "2.0-blind", *ONCE)[0] == 6
        code, output = market.runbook("deploy", "--abort")
        assert code == 6, output
        assert STRANGE in output
        assert market.phases[-1] == ("switch-back", "failed")
        assert "EXITED" in market.processes("ml")["ml"]
        (dry,) = market.runbook("deploy", "--forth", "--dry-run")[1].splitlines()
        assert dry == "deployment 1 of 2.0-blind: switch, healthy, verify"
        code, output = market.runbook("deploy", "--forth")
        assert (code, market.served()) == (6, {"2.0-blind"}), output
        assert [phase for phase, _ in market.phases[-3:]] == FORTH
        assert market.runbook("deploy", "--resume", "--dry-run")[1] == "deployment 1 of 2.0-blind: healthy, verify\n"


def test_who_sits_there_can_send_it_forth(market: Shop) -> None:
    """What ended on the new version is deployed, also when one wanted to go back first."""
    with starting(market, migrating(market)), keyboard() as (keys, terminal):
        (market.folder / "errors").write_text("of yesterday")
        process = market.begin("deploy", "2.0", *ONCE, "--set", "deploy.since=[]", stdin=terminal)
        asked(process)
        (market.folder / "errors").unlink()
        os.write(keys, b"back\nforth\n")
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, output
        assert "go back, go forth, or leave it?" in output
        assert (market.row.outcome, market.served()) == ("deployed", {"2.0"})


def test_a_figure_that_is_worse_is_accepted_by_who_says_so(
    market: Shop, database: PostgresServer, known: Sequence[str]
) -> None:
    with starting(market, moving(market, database)):
        code, output = market.runbook("deploy", "2.0-slow", *known, *ONCE)
        assert code == 6, output
        assert "; verify failed: page.time is " in output
        settings = market.folder / "with-database.toml"
        settings.write_text(settings.read_text().replace("ratio = 2.0", "ratio = 9999"))
        code, output = market.runbook("deploy", "--forth", *known)
    assert code == 0, output
    assert (market.row.outcome, market.served()) == ("deployed", {"2.0-slow"})

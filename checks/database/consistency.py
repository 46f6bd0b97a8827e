"""Whether the database is the one that the application was written for."""

import pytest
from pytest_runbook import check


@check("predeploy postdeploy daily recovery", severity="P1", runbook="database-schema")
async def test_tables_are_there(database, facts):
    """Every table that the application needs is there, and its role may read it."""
    assert facts.database.tables, "no table is named: facts.database.tables is empty"
    rows = await database.query(
        """
        SELECT name, to_regclass(quote_ident(name)) IS NOT NULL AS present,
               coalesce(has_table_privilege(to_regclass(quote_ident(name)), 'SELECT'), false) AS readable
        FROM unnest(%s::text[]) AS name
        """,
        [list(facts.database.tables)],
    )
    missing = [row["name"] for row in rows if not row["present"]]
    assert not missing, f"the database has no table {', '.join(missing)}"
    hidden = [row["name"] for row in rows if not row["readable"]]
    assert not hidden, f"the application's role may not read {', '.join(hidden)}"


@check("predeploy postdeploy recovery", severity="P1", runbook="database-schema")
async def test_migrations_are_applied(database, facts):
    """The tables have the shape that this release expects: Alembic's recorded revision is the release's own.

    Without `facts.database.revision` any single revision is accepted: two mean diverged branches, none an unfinished set-up.
    """
    if not facts.database.alembic:
        pytest.skip("the database's tables are not made by Alembic: facts.database.alembic is false")
    applied = await database.one("SELECT to_regclass('alembic_version') IS NOT NULL")
    assert applied, (
        "no migration was ever applied: there is no table alembic_version\n"
        "  hint: where Alembic does not make the tables, set facts.database.alembic to false"
    )
    rows = await database.query("SELECT version_num FROM alembic_version ORDER BY 1")
    revisions = [row["version_num"] for row in rows]
    assert len(revisions) == 1, f"the database should be at one revision and is at {len(revisions)}: {revisions}"
    expected = facts.database.revision or revisions[0]
    assert revisions[0] == expected, f'the database is at revision "{revisions[0]}", this release needs "{expected}"'


@check("monthly recovery", severity="P2", runbook="indexes-bloated")
async def test_indexes_are_whole(database):
    """No index is broken: one whose making failed half-way slows every change down and is never used (guide G34)."""
    rows = await database.query(
        "SELECT indexrelid::regclass::text AS name FROM pg_index WHERE NOT indisvalid ORDER BY 1"
    )
    assert not rows, f"never built to their end: {', '.join(row['name'] for row in rows)}"

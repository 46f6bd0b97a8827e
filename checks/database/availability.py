"""Whether the database serves at all; the first of these that fails explains everything above it."""

from pytest_runbook import check


@check("predeploy postdeploy daily recovery", severity="P1", runbook="database-down")
async def test_answers(database):
    """The database answers a query."""
    assert await database.one("SELECT 1 + 1") == 2, "the database answers, but not what was asked"


@check("predeploy postdeploy daily recovery", severity="P1", runbook="database-down")
async def test_accepts_writes(database):
    """The database takes writes: it is the primary and nobody has switched it to read-only."""
    assert await database.writable(), (
        "the database refuses writes: it is a standby, or default_transaction_read_only is on"
    )

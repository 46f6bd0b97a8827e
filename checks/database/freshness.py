"""Whether the database's own housekeeping is up to date."""

from pytest_runbook import check


@check("daily", severity="P3", runbook="tables-not-analysed")
async def test_tables_are_analyzed(database, limits, measure):
    """The planner knows the tables: each that holds rows and has changed was analysed within a day (guide G24).

    Asks for the size on disk, because row counts are zero as well when a crash has lost the statistics.
    """
    rows = await database.query(
        """
        SELECT relid::regclass::text AS name,
               extract(epoch FROM clock_timestamp() - greatest(last_analyze, last_autoanalyze))::float8 AS age
        FROM pg_stat_user_tables
        WHERE pg_relation_size(relid) > 0
          AND (n_mod_since_analyze > 0 OR greatest(last_analyze, last_autoanalyze) IS NULL)
        """
    )
    never = sorted(row["name"] for row in rows if row["age"] is None)
    assert not never, f"never analysed since the statistics were reset: {', '.join(never)}"
    oldest = max(rows, key=lambda row: row["age"], default={"name": "", "age": 0})
    assert measure("database.analyzed", oldest["age"], "s") < limits.database.analyzed_within, (
        f'table "{oldest["name"]}" has changed and was not analysed since'
    )

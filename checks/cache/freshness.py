"""How old the cache's copy on disk is, and whether what has expired is gone."""

from pytest_runbook import check


@check("daily", severity="P3", runbook="cache-persistence")
async def test_snapshot_is_recent(cache, limits, measure):
    """The snapshot on disk is less than a day old, or nothing has changed since it was taken."""
    seen = await cache.persistence()
    age = seen.rdb_age if seen.rdb_changes else 0.0
    assert measure("cache.snapshot_age", age, "s") < limits.cache.snapshot_age, (
        f"{seen.rdb_changes} changes are in no snapshot of the cache"
    )


@check("daily", severity="P3", runbook="cache-expired-keys")
async def test_no_expired_entries(cache, facts, measure):
    """No cache entry that was marked as expired is still there (guide G25)."""
    keys = await cache.keys(facts.cache.expired)
    assert measure("cache.expired_entries", len(keys)) == 0, f"still there: {', '.join(keys[:3])}"

"""How quickly the cache answers."""

from pytest_runbook import check


@check("postdeploy daily", severity="P2", runbook="cache-slow")
async def test_round_trip_is_quick(cache, limits, measure):
    """The cache is quick: a value is written, read and deleted within a tenth of a second."""
    trip = await cache.round_trip()
    assert measure("cache.round_trip", trip.seconds, "s") < limits.cache.round_trip, "every page waits for a slow cache"

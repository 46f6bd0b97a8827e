"""Whether the cache serves at all; the first of these that fails explains everything above it."""

from pytest_runbook import check


@check("predeploy postdeploy daily recovery", severity="P1", runbook="cache-down")
async def test_answers(cache):
    """The cache answers, and has read its data."""
    assert not await cache.loading(), "the cache has started and is still reading its data"


@check("predeploy postdeploy daily recovery", severity="P1", runbook="cache-down")
async def test_keeps_what_it_is_given(cache):
    """The cache takes a value and gives it back: a server that is full, read-only or cannot save refuses."""
    trip = await cache.round_trip()
    assert trip.ok, f"the cache refuses to keep a value: {trip.error}"

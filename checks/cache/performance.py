"""How quickly the cache answers."""

from pytest_runbook import check


@check("postdeploy daily", severity="P2", runbook="cache-slow")
async def test_answers_quickly(cache, limits, measure):
    """The cache is quick: half of a few questions are answered within a tenth of a second."""
    seen = await cache.latency()
    assert measure("cache.latency", seen.median, "s") < limits.cache.latency, (
        f"every page waits for a slow cache: the slowest of a few answers took {seen.worst:.3g} s"
    )

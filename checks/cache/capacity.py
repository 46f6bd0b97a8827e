"""How much of the cache's memory is in use, and what happens when there is no more."""

from pytest_runbook import check


@check("postdeploy daily", severity="P2", runbook="cache-memory")
async def test_memory(cache, limits, measure):
    """The cache has memory left: it uses less than 80 % of what it may have (guide G11)."""
    seen = await cache.memory()
    # Without a limit of its own the machine's memory is the limit.
    most = seen.max or (await cache.info("memory"))["total_system_memory"]
    assert measure("cache.memory", seen.used / most, "ratio") < limits.cache.memory, (
        f"the cache uses {seen.used / 2**20:.1f} MiB and may use {most / 2**20:.1f} MiB"
    )


@check("predeploy daily", severity="P2", runbook="cache-memory")
async def test_memory_policy(cache, facts):
    """The cache cannot take all memory of its machine, and when it is full it drops what it may drop, never a queue."""
    seen = await cache.memory()
    assert seen.max > 0, "the cache has no limit of memory (maxmemory is 0): it grows until its machine has none"
    assert seen.policy in facts.cache.policies, (
        f'the cache\'s policy for full memory is "{seen.policy}" and should be one of: {", ".join(facts.cache.policies)}'
    )


@check("daily", severity="P3", runbook="cache-memory")
async def test_evictions(cache, limits, measure):
    """Values leave the cache when they expire, and are hardly ever pushed out before by new ones."""
    seen = await cache.info("stats")
    evicted, expired = seen["evicted_keys"], seen["expired_keys"]
    share = evicted / (evicted + expired) if evicted else 0.0
    assert measure("cache.evicted", share, "ratio") < limits.cache.evicted, (
        f"{evicted} values were pushed out before their time, {expired} left when they expired"
    )

"""Whether what the cache holds would survive its machine."""

import pytest
from pytest_runbook import check


@check("predeploy daily", severity="P2", runbook="cache-persistence")
async def test_persistence_works(cache, facts):
    """The cache writes what it holds to disk: no write has failed, and the append-only file is on where it should be."""
    seen = await cache.persistence()
    assert seen.rdb_ok, "the last snapshot failed: see the log of the server, and whether its disk is full"
    assert seen.aof_ok, (
        "the last write to the append-only file failed: see the log of the server, and whether its disk is full"
    )
    assert seen.aof_enabled or not facts.cache.append_only, (
        "the append-only file is switched off: a crash loses minutes"
    )


@check("daily", severity="P2", runbook="cache-persistence")
async def test_replicas_follow(cache, facts, limits, measure):
    """Each replica of the cache is connected and keeps up."""
    if not facts.cache.replicas:
        pytest.skip("the cache has no replica: facts.cache.replicas is 0")
    online = [replica for replica in (await cache.replication()).replicas if replica.state == "online"]
    assert len(online) >= facts.cache.replicas, f"{len(online)} of {facts.cache.replicas} replicas follow the cache"
    lag = measure("cache.replica_lag", max(replica.lag for replica in online), "s")
    assert lag < limits.cache.replica_lag, "a replica has not confirmed for too long what it was sent"

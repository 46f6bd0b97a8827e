"""Whether the object storage with the off-site backups serves at all."""

import pytest
from pytest_runbook import check


@check("predeploy daily", severity="P2", runbook="storage-down")
async def test_bucket_is_reachable(storage):
    """The bucket of the backups is there and lets us in."""
    if not storage.settings.bucket:
        pytest.skip("the system has no off-site storage: probes.storage names no bucket")
    assert (await storage.bucket()).name, "the storage answers and does not know the bucket"

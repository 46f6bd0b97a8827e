"""How old the standby's data is."""

import pytest
from pytest_runbook import Unmeasured, check


@check("daily", severity="P2", runbook="replication-lag")
async def test_replication_lag(standby, limits, measure):
    """The standby is less than 5 seconds behind the primary (guide G15)."""
    if not standby.configured:
        pytest.skip("the system has no standby: probes.standby names no server")
    seen = await standby.replication()
    if seen.receiver is None or seen.receiver.state != "streaming":
        raise Unmeasured("the standby is cut off from the primary and cannot know what it missed")
    assert measure("database.replication_lag", seen.lag, "s") < limits.database.replication_lag, (
        "the replay on the standby is paused" if seen.receiver.paused else "the standby does not keep up"
    )

"""Whether the standby could take over: it answers, and it follows the primary."""

import pytest
from pytest_runbook import check


@check("predeploy daily", severity="P2", runbook="replication-lag")
async def test_answers(standby):
    """The standby answers a query."""
    _configured(standby)
    assert await standby.one("SELECT 1 + 1") == 2, "the standby answers, but not what was asked"


@check("predeploy daily", severity="P2", runbook="replication-lag")
async def test_follows_the_primary(standby):
    """The standby receives what the primary writes."""
    _configured(standby)
    seen = await standby.replication()
    assert seen.in_recovery, "the standby is no standby any more: it was promoted, and has its own data now"
    assert seen.receiver.state == "streaming", (
        f'the standby does not stream from the primary: its receiver is "{seen.receiver.state or "not running"}"'
    )


def _configured(standby):
    if not standby.configured:
        pytest.skip("the system has no standby: probes.standby names no server")

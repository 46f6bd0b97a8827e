"""Whether the prediction service was there when users wanted it."""

import pytest
from pytest_runbook import Unreachable, check


@check("daily", severity="P2", runbook="uptime-low", timeout=90)
async def test_uptime(ml, runs, settings, facts, limits, measure):
    """The prediction service was up in more than 99.9 % of the runs of the last 30 days (guide G08).

    It is counted as the web service's uptime is: see there.
    """
    past = await runs.ratio(facts.uptime.ml, facts.uptime.days, settings.system.environment)
    try:
        is_up = not (await ml.sample(facts.ml.health, facts.web.sample_requests)).errors
    except Unreachable:
        is_up = False
    seen, up = past.total + 1, past.passed + is_up
    if up == seen < facts.uptime.least:
        pytest.skip(f"only {past.total} earlier runs tell, and none found it down: facts.uptime.least asks for more")
    measure("ml.uptime_observations", seen)
    assert measure("ml.uptime", up / seen, "ratio") > limits.ml.uptime, (
        f"{seen - up} of {seen} observations found it down"
    )

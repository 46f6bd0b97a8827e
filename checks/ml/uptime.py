"""Whether the prediction service was there when users wanted it."""

from pytest_runbook import Unreachable, check


@check("daily", severity="P2", runbook="uptime-low")
async def test_uptime(ml, runs, settings, facts, limits, measure):
    """The prediction service was up for more than 99.9 % of the last 30 days (guide G08).

    It is counted as the web service's uptime is: see there.
    """
    past = await runs.ratio(facts.uptime.ml, facts.uptime.days, settings.system.environment)
    try:
        now = await ml.sample(facts.ml.health, facts.web.sample_requests)
        is_up = not now.errors
    except Unreachable:
        is_up = False
    seen, up = past.total + 1, past.passed + is_up
    assert measure("ml.uptime", up / seen, "ratio") > limits.ml.uptime, (
        f"{seen - up} of {seen} observations found it down"
    )

"""Whether the prediction service was there when users wanted it."""

from pytest_runbook import check


@check("daily", severity="P2", runbook="uptime-low")
async def test_uptime(ml, runs, facts, limits, measure):
    """The prediction service was up for more than 99.9 % of the last 30 days (guide G08).

    It is counted as the web service's uptime is: see there.
    """
    past = await runs.ratio(facts.uptime.ml, days=facts.uptime.days)
    now = await ml.sample(facts.ml.health, facts.web.sample_requests)
    seen, up = past.total + 1, past.passed + (now.errors == 0)
    assert measure("ml.uptime", up / seen, "ratio") > limits.ml.uptime, (
        f"{seen - up} of {seen} observations found it down"
    )

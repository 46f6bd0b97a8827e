"""Whether the web service was there when users wanted it."""

from pytest_runbook import check


@check("daily", severity="P2", runbook="uptime-low")
async def test_uptime(web, runs, facts, limits, measure):
    """The web service was up for more than 99.9 % of the last 30 days (guide G08).

    How it is counted: each run in which the health check was judged is one observation, up when the check passed and down
    when it failed, timed out or was blocked by what the service needs. Runs in which it was waived, in planned maintenance,
    or could not look do not count. The requests made now are one observation more, up when all were answered. So the figure
    is as fine as there are runs: with one run a day a single bad one is seen for 30 days.
    """
    past = await runs.ratio(facts.uptime.web, days=facts.uptime.days)
    now = await web.sample(facts.web.health, facts.web.sample_requests)
    seen, up = past.total + 1, past.passed + (now.errors == 0)
    assert measure("web.uptime", up / seen, "ratio") > limits.web.uptime, (
        f"{seen - up} of {seen} observations found it down"
    )

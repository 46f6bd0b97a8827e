"""Whether the web service was there when users wanted it."""

from pytest_runbook import Unreachable, check


@check("daily", severity="P2", runbook="uptime-low")
async def test_uptime(web, runs, settings, facts, limits, measure):
    """The web service was up for more than 99.9 % of the last 30 days (guide G08).

    How it is counted: each run of this environment in which the health check was judged is one observation, up when the
    check passed, down when it failed, timed out, was blocked by what the service needs, or passed only after its runbook.
    Runs in which it was waived (planned maintenance), skipped or could not look do not count. The requests made now are one
    observation more, up when all were answered 200. The figure is as fine as there are runs: with one run a day, a single
    bad one is seen for 30 days.
    """
    past = await runs.ratio(facts.uptime.web, facts.uptime.days, settings.system.environment)
    try:
        now = await web.sample(facts.web.health, facts.web.sample_requests)
        is_up = not now.errors
    except Unreachable:
        is_up = False
    seen, up = past.total + 1, past.passed + is_up
    assert measure("web.uptime", up / seen, "ratio") > limits.web.uptime, (
        f"{seen - up} of {seen} observations found it down"
    )

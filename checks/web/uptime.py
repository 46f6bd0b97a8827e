"""Whether the web service was there when users wanted it."""

import pytest
from pytest_runbook import Unreachable, check


@check("daily", severity="P2", runbook="uptime-low", timeout=90)
async def test_uptime(web, runs, settings, facts, limits, measure):
    """The web service was up in more than 99.9 % of the runs of the last 30 days (guide G08).

    How it is counted: each run of this environment in which the health check was judged is one observation, up when the
    check passed, down when it failed, timed out, was blocked by what the service needs, or passed only after its runbook.
    Runs in which it was waived (planned maintenance), skipped or could not look do not count. The requests made now are one
    observation more, up when all were answered 200. The figure is as fine as there are runs: with one run a day, a single
    bad one is seen for 30 days. Fewer observations than `facts.uptime.least`, as on a new system, of which none was bad, are too
    few to claim anything: it is skipped.
    """
    past = await runs.ratio(facts.uptime.web, facts.uptime.days, settings.system.environment)
    try:
        is_up = not (await web.sample(facts.web.health, facts.web.sample_requests)).errors
    except Unreachable:
        is_up = False
    seen, up = past.total + 1, past.passed + is_up
    if up == seen < facts.uptime.least:
        pytest.skip(f"only {past.total} earlier runs tell, and none found it down: facts.uptime.least asks for more")
    measure("web.uptime_observations", seen)
    assert measure("web.uptime", up / seen, "ratio") > limits.web.uptime, (
        f"{seen - up} of {seen} observations found it down"
    )

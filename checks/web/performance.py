"""How quickly users get their pages."""

from pytest_runbook import Unmeasured, check


@check("postdeploy daily", severity="P2", runbook="web-slow", timeout=60)
async def test_p95_response_time(web, facts, limits, measure):
    """Pages are quick: of requests made now, 95 % are answered within 2 seconds (guide G09)."""
    sample = await web.sample(facts.web.sample, facts.web.sample_requests)
    assert measure("web.response_time.p95", sample.p95, "s") < limits.web.response_time_p95, (
        f"of {sample.n} requests for {facts.web.sample} half took more than {sample.p50:.2f} s, the slowest {sample.max:.2f} s"
    )


@check("daily", severity="P2", runbook="web-slow")
async def test_p95_response_time_of_users(metrics, facts, limits, measure):
    """Users' own requests are quick: in the service's histogram 95 % of them are below 2 seconds (guide G09).

    Looks at the next seconds, so that a fix shows at once; when nobody comes, at all since the service started.
    """
    asked, limit = facts.web.metrics, limits.web.response_time_p95
    try:
        p95 = await metrics.quantile(asked.duration, 0.95, limit=limit, seconds=asked.window)
    except Unmeasured:
        p95 = await metrics.quantile(asked.duration, 0.95, limit=limit)
    assert measure("web.users_response_time.p95", p95, "s") < limit, "users wait too long for their pages"

"""How quickly users get their pages."""

from pytest_runbook import check


@check("postdeploy daily", severity="P2", runbook="web-slow", timeout=60)
async def test_p95_response_time(web, facts, limits, measure):
    """Pages are quick: of requests made now, 95 % are answered within 2 seconds (guide G09)."""
    sample = await web.sample(facts.web.sample, facts.web.sample_requests)
    assert measure("web.response_time.p95", sample.p95, "s") < limits.web.response_time_p95, (
        f"of {sample.n} requests for {facts.web.sample} half took more than {sample.p50:.2f} s, the slowest {sample.max:.2f} s"
    )


@check("daily", severity="P2", runbook="web-slow")
async def test_p95_response_time_of_users(metrics, facts, limits, measure):
    """Users' own requests are quick: in the service's histogram 95 % are below 2 seconds (guide G09)."""
    p95 = await metrics.quantile(facts.web.metrics.duration, 0.95)
    assert measure("web.response_time.users_p95", p95, "s") < limits.web.response_time_p95, "users wait too long"

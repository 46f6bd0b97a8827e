"""How quickly users get their pages."""

from pytest_runbook import Idle, check


@check("postdeploy daily", severity="P2", runbook="web-slow", timeout=60)
async def test_p95_response_time(web, facts, limits, measure):
    """Pages are quick: of requests made now, 95 % are answered within 2 seconds (guide G09)."""
    sample = await web.sample(facts.web.sample, facts.web.sample_requests)
    assert measure("web.response_time.p95", sample.p95, "s") < limits.web.response_time_p95, (
        f"of {sample.n} requests for {facts.web.sample} half took more than {sample.p50:.2f} s, the slowest {sample.max:.2f} s"
    )


@check("daily", severity="P2", runbook="web-slow", timeout=60)
async def test_p95_response_time_of_users(web, metrics, facts, limits, measure):
    """Users' own requests are quick: in the service's histogram 95 % of them are below 2 seconds (guide G09).

    Looks at the next seconds: a fix shows at once, and what was slow long ago is over. When nobody comes meanwhile, it
    opens the pages itself that every user meets.
    """
    asked, limit = facts.web.metrics, limits.web.response_time_p95
    try:
        p95 = await metrics.quantile(asked.duration, 0.95, limit=limit, seconds=asked.window)
        name = "web.users_response_time.p95"
    except Idle:
        samples = [await web.sample(page, facts.web.sample_requests) for page in facts.web.pages]
        p95, name = max(sample.p95 for sample in samples), "web.pages_response_time.p95"
    assert measure(name, p95, "s") < limit, "users wait too long for their pages"

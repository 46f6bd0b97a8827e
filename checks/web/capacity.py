"""Whether the web service has all hands on board."""

from pytest_runbook import check


@check("postdeploy daily", severity="P3", runbook="web-slow")
async def test_every_worker_answers(metrics, facts, measure):
    """Every worker process of the web service answers: with fewer it still works, until the users of the evening come.

    Each answer comes from one of them; enough are asked for to meet all.
    """
    seen = await metrics.scrape(requests=15 * facts.web.workers)
    assert measure("web.workers", len(seen.workers)) >= facts.web.workers, (
        f"{len(seen.workers)} of {facts.web.workers} worker processes answered"
    )

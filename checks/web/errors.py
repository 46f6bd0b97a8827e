"""Whether users meet errors."""

from pytest_runbook import Unmeasured, check


@check("predeploy postdeploy daily", severity="P2", runbook="web-errors", timeout=60, needs="database cache")
async def test_error_rate(web, facts, limits, measure):
    """Pages work: of requests made now, fewer than 0.1 % end in an error of the service (guide G10)."""
    sample = await web.sample(facts.web.sample, facts.web.sample_requests)
    assert measure("web.error_rate", sample.error_rate, "ratio") < limits.web.error_rate, (
        f"{sample.errors} of {sample.n} requests for {facts.web.sample} failed: {_seen(sample)}"
    )


@check("daily", severity="P2", runbook="web-errors", needs="database cache")
async def test_error_rate_of_users(metrics, facts, limits, measure):
    """Users meet no errors: by the service's own counters, fewer than 0.1 % of their requests end in one (guide G10).

    Looks at the next seconds, so that a fix shows at once; when nobody comes, at all since the service started.
    """
    asked = facts.web.metrics
    try:
        share = await metrics.ratio(asked.errors, asked.requests, seconds=asked.window)
    except Unmeasured:
        share = await metrics.ratio(asked.errors, asked.requests)
    assert measure("web.users_error_rate", share, "ratio") < limits.web.error_rate, "users meet errors of the service"


@check("postdeploy daily", severity="P2", runbook="web-errors", needs="database cache ml")
async def test_no_new_errors_in_the_log(logs, facts, limits, measure):
    """The log has no new errors: nothing went wrong in the last minutes that nobody has seen (guide G06).

    Web and prediction service write into the same one.
    """
    errors = await logs.errors(since=facts.logs.error_window)
    assert measure("web.log_errors", len(errors)) <= limits.logs.new_errors, f"the latest: {_last(errors)}"


def _last(errors):
    """The newest of ERRORS in words."""
    return errors.records[-1].message if errors else "none"


def _seen(sample):
    """What the requests of SAMPLE ended in."""
    statuses = [f"{number} times status {status}" for status, number in sample.statuses.items() if status >= 500]
    return ", ".join([*statuses, *(f"{number} times: {text}" for text, number in sample.exceptions.items())])

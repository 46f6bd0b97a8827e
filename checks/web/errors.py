"""Whether users meet errors."""

from pytest_runbook import Idle, check


@check("predeploy postdeploy daily", severity="P2", runbook="web-errors", timeout=60, needs="database cache")
async def test_error_rate(web, facts, limits, measure):
    """Pages work: of requests made now, fewer than 0.1 % end in anything but the page (guide G10)."""
    sample = await web.sample(facts.web.sample, facts.web.sample_requests)
    assert measure("web.error_rate", sample.error_rate, "ratio") < limits.web.error_rate, (
        f"{sample.errors} of {sample.n} requests for {facts.web.sample} failed: {_seen(sample)}"
    )


@check("daily", severity="P2", runbook="web-errors", needs="database cache")
async def test_error_rate_of_users(web, metrics, facts, limits, measure):
    """Users meet no errors: by the service's own counters, fewer than 0.1 % of their requests end in one (guide G10).

    Looks at the next seconds: a fix shows at once, and errors of long ago are over. When nobody comes meanwhile, it opens
    the pages itself that every user meets.
    """
    asked = facts.web.metrics
    try:
        share, name = await metrics.ratio(asked.errors, asked.requests, seconds=asked.window), "web.users_error_rate"
    except Idle:
        samples = [await web.sample(page, facts.web.sample_requests) for page in facts.web.pages]
        share, name = max(sample.error_rate for sample in samples), "web.pages_error_rate"
    assert measure(name, share, "ratio") < limits.web.error_rate, "users meet errors of the service"


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
    statuses = [f"{number} times status {status}" for status, number in sample.statuses.items() if status != 200]
    return ", ".join([*statuses, *(f"{number} times: {text}" for text, number in sample.exceptions.items())])

"""Whether users meet errors."""

from pytest_runbook import check


@check("predeploy postdeploy daily", severity="P2", runbook="web-errors", timeout=60, needs="database cache")
async def test_error_rate(web, facts, limits, measure):
    """Pages work: requests made now, some dozens, end in the page and nothing else (guide G10).

    Of so few a single error is beyond 0.1 %, and that none is among them does not prove so low a share: it shows what is
    broken now.
    """
    sample = await web.sample(facts.web.sample, facts.web.sample_requests)
    assert measure("web.error_rate", sample.error_rate, "ratio") < limits.web.error_rate, (
        f"{sample.errors} of {sample.n} requests for {facts.web.sample} failed: {_seen(sample)}"
    )


@check("daily", severity="P2", runbook="web-errors", needs="database cache")
async def test_error_rate_of_users(web, metrics, facts, limits, measure):
    """Users meet no errors: by the service's own counters, fewer than 0.1 % of their requests end in one (guide G10).

    Looks at the next seconds: a fix shows at once, and errors of long ago are over. Fewer requests than
    `facts.web.metrics.least`, among which those of the checks may be most, say nothing of users where none is an error: then
    it opens the pages itself that every user meets.
    """
    asked = facts.web.metrics
    requests = measure("web.users_requests", await metrics.value(asked.requests, seconds=asked.window))
    errors = await metrics.value(asked.errors, seconds=asked.window)
    if errors or requests >= asked.least:
        share, name = errors / requests, "web.users_error_rate"
    else:
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

"""Whether somebody is trying to get in, and whether the service tells strangers what they should not know."""

import re

from pytest_runbook import check


@check("postdeploy daily", severity="P2", runbook="web-insecure")
async def test_error_pages_tell_nothing(web, facts):
    """Error pages do not show what is inside: no traceback, no debugger, no path of the source."""
    answer = await web.get(facts.web.absent)
    assert answer.status_code == 404, f"a page that does not exist was answered {answer.status_code}"
    shown = re.search("|".join(facts.web.internals), answer.text)
    assert not shown, f'the error page of {facts.web.absent} shows "{shown and shown[0]}"'


@check("daily", severity="P3", runbook="web-insecure", unmeasured="P3")
async def test_failed_logins(metrics, facts, limits, measure):
    """Nobody is trying passwords: few logins fail at the moment."""
    rate = await metrics.rate(facts.web.metrics.failed_logins, seconds=facts.web.metrics.window)
    assert measure("web.failed_logins", rate * 60, "per minute") < limits.web.failed_logins, (
        "many logins fail: an attack?"
    )

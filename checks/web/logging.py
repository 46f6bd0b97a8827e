"""Whether the web service still tells what it does."""

from pytest_runbook import check


@check("daily", severity="P2", runbook="logs-silent")
async def test_log_is_written(logs, limits, measure):
    """The log is written: a service that says nothing is as suspicious as one that reports errors (guide G22)."""
    age = await logs.last_record_age()
    assert measure("web.log_age", age, "s") < limits.logs.silence, "the service has stopped writing its log"

"""Whether predictions fail."""

from pytest_runbook import Unmeasured, check


@check("daily", severity="P2", runbook="ml-errors", unmeasured="P3")
async def test_predictions_succeed(ml, facts, limits, measure):
    """Predictions succeed: since the service started, fewer than 1 % of them failed."""
    stats = (await ml.get(facts.ml.models)).json().get("router_stats", {})
    total, failed = stats.get("total_predictions"), stats.get("failed_predictions")
    if not total:
        raise Unmeasured("no prediction was asked for since the service started" if total == 0 else "nothing is told")
    assert measure("ml.error_rate", failed / total, "ratio") < limits.ml.error_rate, (
        f"{failed} of {total} predictions failed"
    )

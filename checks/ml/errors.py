"""Whether predictions fail."""

import asyncio

from pytest_runbook import Unmeasured, check


@check("daily", severity="P2", runbook="ml-errors", unmeasured="P3")
async def test_predictions_succeed(ml, facts, limits, measure):
    """Predictions succeed: fewer than 1 % of them fail.

    Looks at those of the next seconds, so that a fix shows at once; when nobody asks for any, at all since the service started.
    """
    before = await _counts(ml, facts)
    await asyncio.sleep(facts.ml.window)
    after = await _counts(ml, facts)
    # A service that was started meanwhile counts from nothing again.
    total, failed = (now - then for now, then in zip(after, before, strict=True)) if after[0] > before[0] else after
    if not total:
        raise Unmeasured("nobody has asked for a prediction since the service started")
    assert measure("ml.error_rate", failed / total, "ratio") < limits.ml.error_rate, (
        f"{failed} of {total} predictions failed"
    )


async def _counts(ml, facts):
    """Predictions that were asked for and those that failed, since the service started."""
    # With a header, because one check asks equal questions only once.
    answer = await ml.get(facts.ml.models, headers={"Cache-Control": "no-cache"})
    stats = answer.json().get("router_stats") or {}
    counts = [stats.get(f"{name}_predictions") for name in ("total", "failed")]
    if None in counts:
        raise Unmeasured(f"{facts.ml.models} does not count predictions")
    return counts

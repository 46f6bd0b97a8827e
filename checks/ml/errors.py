"""Whether predictions fail."""

import asyncio

from pytest_runbook import Idle, Unmeasured, check, files_like


@check("daily", severity="P2", runbook="ml-errors", timeout=120, unmeasured="P3")
async def test_predictions_succeed(ml, facts, limits, measure):
    """Predictions succeed: fewer than 1 % of them fail.

    Looks at those of the next seconds: a fix shows at once, and what failed long ago is over. When nobody asks for any
    meanwhile, it does so itself, with recordings of the evaluation set.
    """
    before = await _counts(ml, facts)
    await asyncio.sleep(facts.ml.window)
    after = await _counts(ml, facts)
    total, failed = (now - then for now, then in zip(after, before, strict=True))
    # Figures that cannot be are of two processes, which count for themselves: one started meanwhile, or another worker.
    if not 0 <= failed <= total or not total:
        total, failed = await _asked(ml, facts)
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


async def _asked(ml, facts):
    """The same of predictions asked for here."""
    answers = [await ml.upload(facts.ml.predict, recording) for recording in _recordings(facts)]
    if not answers:
        raise Idle(
            f"nobody asks for predictions, and there is no {facts.paths.evaluation}/{facts.ml.recordings} to send"
        )
    return len(answers), sum(answer.status_code != 200 for answer in answers)


def _recordings(facts):
    """The first recordings of the evaluation set."""
    return files_like(facts.paths.evaluation, facts.ml.recordings)[: facts.ml.sample_recordings]

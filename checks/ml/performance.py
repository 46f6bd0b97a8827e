"""How quickly recordings are classified."""

import math

from pytest_runbook import Unmeasured, check, files_like


@check("postdeploy daily", severity="P2", runbook="ml-slow", timeout=120)
async def test_prediction_latency(ml, facts, limits, measure):
    """Predictions are quick: of recordings sent in now, one after another, 95 % are answered within 5 seconds (guide G16)."""
    answers = [await ml.upload(facts.ml.predict, recording) for recording in _recordings(facts)]
    failed = [answer.status_code for answer in answers if answer.status_code != 200]
    if failed:
        raise Unmeasured(f"{len(failed)} of {len(answers)} recordings got no prediction: the first, status {failed[0]}")
    seconds = sorted(answer.elapsed for answer in answers)
    p95 = seconds[math.ceil(0.95 * len(seconds)) - 1]
    assert measure("ml.prediction_latency.p95", p95, "s") < limits.ml.prediction_latency, (
        f"of {len(seconds)} predictions the quickest took {seconds[0]:.2f} s, the slowest {seconds[-1]:.2f} s"
    )


def _recordings(facts):
    """The first recordings of the evaluation set."""
    found = files_like(facts.paths.evaluation, facts.ml.recordings)[: facts.ml.sample_recordings]
    if not found:
        raise Unmeasured(f"there is no recording to send: {facts.paths.evaluation}/{facts.ml.recordings}")
    return found

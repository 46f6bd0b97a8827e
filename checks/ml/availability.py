"""Whether recordings are classified; the first of these that fails explains everything above it."""

import json

import pytest
from pytest_runbook import Unmeasured, Unreachable, check, files_like


@check("predeploy", severity="P1", runbook="ml-unresponsive")
async def test_port_is_free_or_ours(ml, facts):
    """The prediction service's port is free, or the prediction service holds it: nothing else answers there (guide G03)."""
    try:
        answer = await ml.get(facts.ml.health)
    except Unreachable as silence:
        pytest.skip(f"nobody answers there: {silence}")
    foreign = answer.status_code < 500 and "status" not in _said(answer)
    assert not foreign, (
        f'something else holds {ml.target}: it answered {answer.status_code} with "{_beginning(answer)}"'
    )


@check("predeploy postdeploy daily", severity="P1", runbook="ml-unresponsive")
async def test_health_endpoint_answers(ml, facts):
    """The prediction service answers, and says that it is healthy (guide G27)."""
    answer = await ml.get(facts.ml.health)
    assert answer.status_code == 200, f'{facts.ml.health} answered {answer.status_code} with "{_beginning(answer)}"'
    assert _said(answer).get("status") == "healthy", f'{facts.ml.health} answered 200 and said "{_beginning(answer)}"'


@check("predeploy postdeploy daily", severity="P1", runbook="ml-unresponsive")
async def test_models_are_loaded(ml, facts):
    """The prediction service has loaded its models."""
    answer = await ml.get(facts.ml.models)
    said = _said(answer)
    assert said.get("success") is True, f"no models: {said.get('error') or _beginning(answer)}"
    missing = [name for name, model in said.get("models", {}).items() if _is_missing(model)]
    assert not missing, f"not loaded: {', '.join(missing)}"
    assert said.get("models"), f"{facts.ml.models} names no model"


@check("predeploy postdeploy daily", severity="P1", runbook="ml-unresponsive", timeout=60)
async def test_recording_gets_a_prediction(ml, facts):
    """A recording that is sent in comes back with a prediction, of a class that the models know (guide G06)."""
    answer = await ml.upload(facts.ml.predict, _recording(facts))
    said = _said(answer)
    assert said.get("success") is True, (
        f"no prediction, status {answer.status_code}: {said.get('error') or _beginning(answer)}"
    )
    found = said.get("prediction", {}).get(facts.ml.class_key)
    assert found, f'the prediction has no "{facts.ml.class_key}": {_beginning(answer)}'


def _recording(facts):
    """A recording of the evaluation set, always the same."""
    recordings = files_like(facts.paths.evaluation, facts.ml.recordings)
    if not recordings:
        raise Unmeasured(f"there is no recording to send: {facts.paths.evaluation}/{facts.ml.recordings}")
    return recordings[0]


def _is_missing(model):
    """Whether what is said of MODEL is that it is not there: null, false, or `loaded` false."""
    return not model or (isinstance(model, dict) and model.get("loaded", True) is False)


def _said(answer):
    """The JSON object in ANSWER; empty when it is something else."""
    try:
        said = json.loads(answer.content)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _beginning(answer):
    """The first words of ANSWER, on one line."""
    return " ".join(answer.text[:400].split())[:80]

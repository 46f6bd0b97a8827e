"""Predictions fail: the service answers, and too many recordings come back with an error.

Symptom
    More than the allowed share of predictions failed in the last seconds, or since the service started.

Diagnosis
    1. Which error? The log says it for each prediction (step log):
           docker compose logs --tail 500 prediction-api | grep -i error
    2. One kind of file only (format, size, length)? Then a client sends something new.
    3. All kinds: are the models whole or is it ml-models-invalid? (step models) Is there memory, is the disk full?

Correction, mildest first
    1. Restart the one service (step restart): docker compose restart prediction-api
       Not while a model is broken: that is ml-models-invalid.
    2. A person: a client sends what cannot be read: talk to its owner; such files should be refused with 4xx and not be counted.

Last resort
    A person: go back to the previous image and models.

Verify
    pytest checks/ml/errors.py
"""

from pytest_runbook import correct, diagnose, manage, script


@diagnose
def log(at):
    """Look at what the prediction service said last"""
    return manage("logs", "ml")


@diagnose
def models(at):
    """Look whether each model is the file that its metadata tell"""
    return script("restore-models", "whole", on="host")


@correct(
    risk="restart", only_if=lambda at: script("restore-models", "whole", on="host"), settle=2, within=60, timeout=120
)
def restart(at):
    """Restart the prediction service"""
    return manage("restart", "ml")

"""Models invalid: the models are not the ones that were released, or are not as accurate as they were.

Symptom
    A model file is missing or differs from the checksum of its metadata; its classes are not those of the configuration; the
    service has loaded another version than lies in the folder; or accuracy on the labelled recordings is below the limit.

Diagnosis
    1. Files against their metadata (steps metadata, sums):
           cd /opt/nightscan/models && cat metadata.json && sha256sum *
    2. Which version has the service loaded? (step log)
           curl -s http://localhost:8002/models/status
    3. Only accuracy is low, and files and versions agree: did the recordings change, or how they are prepared? Which classes
       are confused? The report of the check counts them.

Correction, mildest first
    1. The files are whole, and the service has others loaded, or predicts badly: restart it. Never while a file is broken: what
       runs now would not come back (step restart):
           docker compose restart prediction-api
    2. A file is missing or broken: put back the same file, from the folder of good models (facts.paths.good_models) or from the
       newest verified backup that has it; its checksum is compared first; restart the service (step repair):
           tar --zstd -xf /opt/nightscan/backups/<newest>/files.tar.zst -C /tmp models && sha256sum /tmp/models/*
           (manifest.json there says of each file which backup holds it)
           cp /tmp/models/<file> /opt/nightscan/models/ && docker compose restart prediction-api
    3. A person: the number of classes in the configuration and in the release differ: one of the two was deployed without the
       other.

Last resort
    The release itself is bad: put the newest other release back, with its metadata, that is kept somewhere and is whole, and
    restart the service, with approval. When that does not help it is taken back. What was there stays in models/.before-*
    (step go_back).
    A person: switch predictions of that kind off and say so to users: no answer is better than a wrong one.

Verify
    pytest checks/ml/models.py checks/ml/availability.py
"""

from pytest_runbook import RunbookError, StepFailed, call, command, correct, diagnose, last_resort, manage, script

BY_RESTART = ("ml/models::loaded_models_are_those_on_disk", "ml/models::accuracy")
"""Checks that may fail because of what the service has loaded, and not because of what lies in the folder."""


@diagnose
def metadata(at):
    """Look at what the metadata tell"""
    return command("cat", f"{at.facts.paths.models}/{at.facts.ml.metadata}", on="host")


@diagnose
def sums(at):
    """Look whether each model is the file that its metadata tell"""
    return script("restore-models", "whole", on="host")


@diagnose
def log(at):
    """Look at what the prediction service said last"""
    return manage("logs", "ml")


@correct(risk="restart", only_if=lambda at: call(may_restart), settle=2, within=90, timeout=120)
def restart(at):
    """Restart the prediction service, which loads what lies in the folder"""
    return manage("restart", "ml")


@correct(
    risk="restart",
    only_if=lambda at: script("restore-models", "can-repair", on="host"),
    settle=2,
    within=90,
    timeout=600,
)
def repair(at):
    """Put back the same models from a good copy, and restart the prediction service"""
    return [script("restore-models", "repair", on="host"), manage("restart", "ml")]


@last_resort(
    risk="destructive",
    only_if=lambda at: script("restore-models", "can-go-back", on="host"),
    undo=lambda at: call(take_back),
    settle=2,
    within=90,
    timeout=600,
)
def go_back(at):
    """Go back to the models of another release, the newest that is kept, and restart the prediction service"""
    return [script("restore-models", "go-back", on="host"), manage("restart", "ml")]


def take_back(tools):
    """Put back what going back took away, and restart the service; neither when going back had changed nothing."""
    try:
        tools.script("restore-models", "undo", on="host")
    except StepFailed as error:
        if error.status != 1:
            raise
        return "nothing was changed"
    return tools.manage("restart", "ml")


def may_restart(tools):
    """Whether a check failed that a restart may help, and the files are whole."""
    if not {*BY_RESTART} & {*tools.situation.checks}:
        return False
    try:
        tools.script("restore-models", "whole", on="host")
    except RunbookError:
        return False
    return True

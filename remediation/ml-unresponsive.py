"""Prediction service unresponsive: recordings are uploaded and nobody classifies them.

Symptom
    `/health` of the prediction service does not answer; models are not loaded; or a recording that is sent to it does not
    come back with a prediction.

Diagnosis
    1. Does the process run, was it ended for its memory, what did it say last? (steps status, log)
           docker compose ps -a prediction-api
           docker inspect --format '{{.State.OOMKilled}}' $(docker compose ps -aq prediction-api)
           docker compose logs --tail 200 prediction-api
    2. Are its models there, whole, readable? (step models)
           cd /opt/nightscan/models && cat metadata.json && sha256sum *
    3. Does it answer, which share of predictions fails?
           curl -s http://localhost:8002/health; curl -s http://localhost:8002/models/status
    4. The GPU, if there is one: is it seen, is its memory taken?
           nvidia-smi
    5. Does something else hold the port? ss -ltnp 'sport = :8002'. Then stop that, not this service.

Correction, mildest first
    1. A model file is missing or broken, so restarting alone does not help: put back the same file from a good copy, whose
       checksum is compared first, and restart the one service (step repair):
           tar --zstd -xf /opt/nightscan/backups/<newest>/files.tar.zst -C /tmp models && sha256sum /tmp/models/*
           (manifest.json there says of each file which backup holds it)
           cp /tmp/models/<file> /opt/nightscan/models/ && docker compose restart prediction-api
    2. Restart the one service through its manager, and poll its health and `/models/status` (step restart):
           docker compose restart prediction-api
       While it answers, and the cache does not answer the checks, or refuses their account, no step does that: it does not help.
       Never end processes by a word of their command line: that hits whatever else has it.
    3. A person: the GPU's memory is taken by a process that should not be there: gpu-memory.

Last resort
    Stop it, and start it anew, in a container of its own making, without touching the others (step start_anew):
        docker compose stop prediction-api; docker compose up -d --no-deps prediction-api
    A person: run on the CPU (`ml.use_gpu` false) or with the previous image or models (ml-models-invalid), slower but answering.
    Uploads wait in the queue meanwhile.

Verify
    pytest checks/ml/availability.py checks/ml/models.py
"""

import httpx
from pytest_runbook import RunbookError, call, correct, diagnose, last_resort, manage, script


@diagnose
def status(at):
    """Look whether it runs, and since when"""
    return manage("status", "ml")


@diagnose
def log(at):
    """Look at what it said last"""
    return manage("logs", "ml")


@diagnose
def models(at):
    """Look whether each model is the file that its metadata tell"""
    return script("restore-models", "whole", on="host")


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


@correct(risk="restart", only_if=lambda at: call(would_help, url=_health(at)), settle=2, within=90, timeout=120)
def restart(at):
    """Restart the prediction service"""
    return manage("restart", "ml")


@last_resort(risk="restart", only_if=lambda at: call(would_help, url=_health(at)), settle=5, within=90, timeout=240)
def start_anew(at):
    """Stop it, and start it anew"""
    return [manage("stop", "ml"), manage("start", "ml")]


def would_help(tools, *, url):
    """Whether a start can help: it does not answer; or what answers is it, and what it needs of others is there."""
    try:
        httpx.get(url, timeout=5)
    except httpx.TransportError:
        return True
    manager, unit = tools.manager("ml")
    if manager.status(unit).state not in ("running", "starting"):
        raise RunbookError(
            "it does not run, and something else answers in its place\n  hint: stop that, see who holds the port"
        )
    if "cache" in tools.settings.services["ml"].depends and tools.silent("cache"):
        raise RunbookError('"cache", which it needs, does not answer\n  hint: mend that, restarting ml does not help')
    return True


def _health(at):
    return at.settings.probes["ml"].url.rstrip("/") + at.facts.ml.health

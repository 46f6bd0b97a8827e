"""What can be wrong with the prediction service, its models and its queues."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from lab import past
from lab.faults import fault
from lab.faults.web import READING
from lab.lab import Lab
from lab.ml.classifier import FILE, METADATA
from lab.servers import REPOSITORY
from lab.site import HOST
from lab.web.cache import PREDICTIONS

FORGET = """
local members = redis.call('ZRANGE', KEYS[1], 0, -1)
for _, member in ipairs(members) do
    if string.find(member, 'lab-fault', 1, true) == 1 then redis.call('ZREM', KEYS[1], member) end
end
"""
SENDING = """
import sys, time
from lab.serving import client
while True:
    client.upload(sys.argv[1], "/predict/upload", "broken.wav", b"RIFF, and nothing more")
    time.sleep(0.1)
"""
HEALTH = "ml/availability::health_endpoint_answers"
LOADED = "ml/availability::models_are_loaded"
PREDICTS = "ml/availability::recording_gets_a_prediction"
VERSION = "ml/version::version_served_is_the_version_deployed"
UNANSWERED = (
    LOADED,
    PREDICTS,
    "ml/errors::predictions_succeed",
    "ml/models::accuracy",
    "ml/models::loaded_models_are_those_on_disk",
    "ml/performance::prediction_latency",
    "ml/uptime::uptime",
    VERSION,
)
"""What nobody can see when the prediction service itself does not answer."""


@fault("ml-stopped", service="ml", fails=[HEALTH], blocks=UNANSWERED, root=HEALTH)
def stopped(lab: Lab) -> None:
    """The prediction service does not run."""
    lab.stop_process("ml")


@fault("ml-frozen", service="ml", fails=[HEALTH], blocks=UNANSWERED, root=HEALTH)
def frozen(lab: Lab) -> None:
    """The prediction service takes connections and never answers; nobody waits for longer than a second meanwhile.

    The users who send recordings wait with it; others come, so that it is seen that the web service is well.
    """
    lab.change_setting("probes.ml.timeout", 1)
    lab.spawn(sys.executable, "-c", READING, HOST, str(lab.site.port("web")))
    lab.pause("ml")


@fault("ml-unhealthy", service="ml", fails=[HEALTH], blocks=[VERSION], root=HEALTH)
def unhealthy(lab: Lab) -> None:
    """The prediction service's health endpoint says that it is not healthy."""
    lab.confuse("ml", body={"path": "/health", "json": {"status": "degraded"}})


@fault(
    "ml-port-taken",
    service="ml",
    fails=["ml/availability::port_is_free_or_ours"],
    blocks=[HEALTH, *UNANSWERED],
    root="ml/availability::port_is_free_or_ours",
    schedule="predeploy",
    outcome="person",
)
def port_taken(lab: Lab) -> None:
    """Another program holds the prediction service's port, and answers there."""
    lab.stop_process("ml")
    folder = str(lab.site.path("inbox"))
    lab.spawn(sys.executable, "-m", "http.server", str(lab.site.port("ml")), "--bind", HOST, "--directory", folder)


@fault(
    "ml-model-broken",
    service="ml",
    fails=[LOADED],
    blocks=[
        PREDICTS,
        "ml/errors::*",
        "ml/models::models_are_whole",
        "ml/models::loaded*",
        "ml/models::accuracy",
        "ml/performance::*",
    ],
    may_block=["web/errors::no_new_errors_in_the_log"],
    root=LOADED,
)
def model_broken(lab: Lab) -> None:
    """The model's file was cut off, and the service has noticed."""
    model = _models(lab) / FILE
    lab.replace_file(model, model.read_bytes()[:1000])


@model_broken.heal
def forget_copies(lab: Lab) -> None:
    """Remove what a runbook kept of the models that it replaced."""
    for kept in _models(lab).glob(".before-*"):
        shutil.rmtree(kept)


@fault("ml-model-rotten", service="ml", fails=["ml/models::models_are_whole"])
def model_rotten(lab: Lab) -> None:
    """A bit of the model's file has changed on the disk; the service, which loaded it before, goes on."""
    model = _models(lab) / FILE
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    _overwrite(lab, model, bytes(content))


model_rotten.heal(forget_copies)


@fault("ml-model-not-loaded", service="ml", fails=["ml/models::loaded_models_are_those_on_disk"])
def model_not_loaded(lab: Lab) -> None:
    """A new version of the model was put in place, and the service still uses the one before."""
    lab.restart_when_healed("ml")  # it may have loaded the new one meanwhile
    metadata = _models(lab) / METADATA
    _overwrite(lab, metadata, metadata.read_bytes().replace(b'"version": "2', b'"version": "3'))


@fault(
    "ml-classes-changed",
    service="ml",
    fails=["ml/models::models_know_their_classes"],
    schedule="predeploy",
    outcome="person",
)
def classes_changed(lab: Lab) -> None:
    """The configuration expects a model of seven classes, and the old one of six is there."""
    lab.edit_config(ml={"audio_model_classes": 7})


@fault("ml-inaccurate", service="ml", fails=["ml/models::accuracy"])
def inaccurate(lab: Lab) -> None:
    """Every fifth recording gets the wrong class."""
    lab.confuse("ml", wrong_class=0.2)


@fault(
    "ml-predictions-fail",
    service="ml",
    fails=[PREDICTS],
    blocks=["ml/models::accuracy", "ml/performance::prediction_latency"],
    may_block=["ml/errors::*"],
    root=PREDICTS,
)
def predictions_fail(lab: Lab) -> None:
    """The prediction service answers, and no recording gets a prediction."""
    lab.confuse("ml", status={"path": "/predict/upload", "code": 500})


@fault("ml-slow", service="ml", fails=["ml/performance::prediction_latency"])
def slow(lab: Lab) -> None:
    """Predictions take most of a second; the limit is lowered meanwhile, because nobody wants to wait for five."""
    lab.change_setting("limits.ml.prediction_latency", 0.5)
    lab.confuse("ml", slow={"path": "/predict/upload", "seconds": 0.7})


@fault("ml-errors", service="ml", fails=["ml/errors::predictions_succeed"])
def errors(lab: Lab) -> None:
    """Somebody sends in recordings that cannot be read, and their predictions fail, until the connection is refused once."""
    lab.spawn(
        sys.executable,
        "-c",
        SENDING,
        f"http://{HOST}:{lab.site.port('ml')}",
        environment={"PYTHONPATH": str(REPOSITORY)},
    )


@fault("ml-queue-long", service="ml", fails=["ml/queues::queues_are_short"])
def queue_long(lab: Lab) -> None:
    """The worker has stopped, and recordings pile up."""
    lab.stop_process("worker")
    members = [part for number in range(150) for part in (number, f"lab-fault-{number}")]
    lab.redis("ZADD", PREDICTIONS, *members, undo=["EVAL", FORGET, 1, PREDICTIONS])


@fault("gpu-missing", service="ml", fails=["ml/gpu::gpu_memory", "ml/gpu::gpu_temperature"], outcome="unmeasured")
def gpu_missing(lab: Lab) -> None:
    """Predictions should run on a GPU, and there is none; where there is one, it may use nothing and not be warm."""
    lab.edit_config(ml={"use_gpu": True})
    lab.change_setting("limits.gpu.memory", 0)
    lab.change_setting("limits.gpu.temperature", 0)


@fault("ml-version-old", service="ml", fails=[VERSION], schedule="postdeploy", outcome="person")
def version_old(lab: Lab) -> None:
    """The deployment reached the web service only: the prediction service still serves the version before it."""
    lab.misbehave("ml", version="0.9.9")


@fault("ml-was-down", service="ml", fails=["ml/uptime::uptime"], outcome="person")
def was_down(lab: Lab) -> None:
    """The prediction service is up, and was down on one of the last ten days."""
    past.write(lab, HEALTH, ["passed", "timed-out", *["passed"] * 8])


def _models(lab: Lab) -> Path:
    return lab.site.home / "models"


def _overwrite(lab: Lab, path: Path, content: bytes) -> None:
    """Give PATH other CONTENT of the same size, in place and with the same time: the service looks at those."""
    seen = path.stat()
    lab.change_mode(path, seen.st_mode & 0o7777)  # keeps a copy, which healing puts back
    with path.open("r+b") as file:
        file.write(content)
        file.flush()
        os.utime(file.fileno(), ns=(seen.st_atime_ns, seen.st_mtime_ns))

"""Whether the models are the ones that were released, and as good as they were."""

import asyncio
import csv
import json
import random
from collections import Counter
from pathlib import Path

from pytest_runbook import Unmeasured, check, clock, unreadable


@check("predeploy postdeploy daily", severity="P1", runbook="ml-models-invalid", unmeasured="P3", needs="host")
def test_models_are_whole(host, facts):
    """The models on the disk are the released ones: each file is there and has the checksum that its metadata tell.

    Metadata without checksums hold up no deployment: they are no sign of another file.
    """
    models = _metadata(host, facts)
    told = {name: model for name, model in models.items() if model.get("file") and model.get("sha256")}
    files = {name: host.file(f"{facts.paths.models}/{model['file']}") for name, model in told.items()}
    missing = [name for name, file in files.items() if not file.exists]
    assert not missing, f"no file of model {', '.join(missing)} in {facts.paths.models}"
    changed = [name for name, file in files.items() if file.sha256sum != models[name]["sha256"]]
    assert not changed, f"not the file that was released: model {', '.join(changed)}"
    if untold := models.keys() - told.keys():
        raise Unmeasured(
            f"the metadata tell no file and checksum of model {', '.join(sorted(untold))}\n"
            f'  hint: let each release write "file" and "sha256" into {facts.paths.models}/{facts.ml.metadata}'
        )


@check("predeploy postdeploy daily", severity="P2", runbook="ml-models-invalid", needs="host")
def test_models_know_their_classes(host, facts):
    """Each model knows as many classes as the configuration expects of its kind."""
    models = _metadata(host, facts)
    expected = {name: count for kind, count in facts.ml.classes.items() for name in models if name.startswith(kind)}
    assert expected, f"no model is of a kind that facts.ml.classes names: {', '.join(models)}"
    known = {name: len(models[name]["classes"]) for name in expected}
    wrong = [f"{name} has {known[name]}, expected {expected[name]}" for name in known if known[name] != expected[name]]
    assert not wrong, f"models with another number of classes: {'; '.join(wrong)}"


@check("postdeploy daily", severity="P1", runbook="ml-models-invalid", unmeasured="P3", needs="host")
async def test_loaded_models_are_those_on_disk(ml, host, facts):
    """The prediction service has loaded the versions that lie on the disk, and not older ones."""
    models = await host.ask("metadata of the models", lambda machine: _metadata(machine, facts))
    released = {name: str(model["version"]) for name, model in models.items()}
    said = (await ml.get(facts.ml.models)).json().get("models", {})
    loaded = {name: model.get("version") for name, model in said.items() if isinstance(model, dict)}
    if not any(loaded.values()):
        raise Unmeasured(
            f"{facts.ml.models} tells no versions\n"
            '  hint: let the service tell the "version" of each model; a release that is not in use is not seen without'
        )
    wrong = {name: version for name, version in released.items() if str(loaded.get(name)) != version}
    assert not wrong, "; ".join(
        f"{name} {version} lies on the disk, {loaded.get(name) or 'none'} is in use" for name, version in wrong.items()
    )


@check("daily", severity="P2", runbook="ml-models-invalid", timeout=900)
async def test_accuracy(ml, facts, limits, measure):
    """Predictions are right: more than 95 % of the labelled recordings get their class (guide G17).

    Sends the recordings of the evaluation set through the interface that users send theirs to: one after another, since
    users wait behind them, of a large set as many as can be answered in a few minutes, and none any more once the others
    cannot change the verdict. One that is answered with an error is not right; without an answer nothing more is sent.
    """
    labels = await asyncio.to_thread(_labels, Path(facts.paths.evaluation, facts.ml.labels))
    if len(labels) < facts.ml.labels_least:
        raise Unmeasured(f"{len(labels)} labelled recordings say nothing about accuracy, {facts.ml.labels_least} would")
    pairs = await _classified(labels, ml, facts, limits)
    if len(pairs) < facts.ml.labels_least:
        raise Unmeasured(
            f"{len(pairs)} recordings were answered in {facts.ml.evaluation_time:g} s, which says nothing about accuracy, "
            f"{facts.ml.labels_least} would\n  hint: see ml/performance, or raise facts.ml.evaluation_time"
        )
    wrong = Counter(f"{label} taken for {found}" for label, found in pairs if found != label)
    measure("ml.accuracy_recordings", len(pairs))
    assert measure("ml.accuracy", (len(pairs) - wrong.total()) / len(pairs), "ratio") > limits.ml.accuracy, (
        f"{wrong.total()} of {len(pairs)} recordings are wrong, of {len(labels)} in the set: "
        f"{', '.join(f'{n} {what}' for what, n in wrong.most_common(5))}"
    )


def _metadata(host, facts):
    """Name to description of each model; the file holds one description, or a list of them under `models`."""
    file = host.file(f"{facts.paths.models}/{facts.ml.metadata}")
    assert file.exists, f"there are no metadata of the models: {facts.paths.models}/{facts.ml.metadata}"
    try:
        told = json.loads(file.content)
    except ValueError as error:
        raise AssertionError(f"the metadata of the models are not JSON: {error}") from None
    models = told.get("models", [told])
    lacking = [key for model in models for key in ("name", "version", "classes") if not model.get(key)]
    assert models and not lacking, f"the metadata of the models lack {', '.join(lacking) or 'everything'}"
    return {model["name"]: model for model in models}


def _labels(table):
    """Recording and label of each line of TABLE, a CSV file with the columns file and label."""
    try:
        with table.open(newline="", encoding="utf-8") as file:
            return [(table.with_name(row["file"]), row["label"]) for row in csv.DictReader(file)]
    except OSError as error:
        raise unreadable(table, error, "the labelled recordings") from None
    except (KeyError, csv.Error) as error:
        raise Unmeasured(f'the labelled recordings cannot be read from "{table}": {error}') from None


async def _classified(labels, ml, facts, limits):
    """Label and class of the recordings that are answered in time, of no more than decide; the first are of every class."""
    pairs, until = [], clock.monotonic() + facts.ml.evaluation_time
    for recording, label in random.Random(0).sample(labels, len(labels)):  # noqa: S311 - the same recordings each time
        enough = len(pairs) >= facts.ml.labels_least and _decided(pairs, len(labels), limits.ml.accuracy)
        if enough or clock.monotonic() > until:
            break
        pairs.append((label, _class(await ml.upload(facts.ml.predict, recording), facts)))
    return pairs


def _decided(pairs, total, limit):
    """Whether the verdict stands, whatever the rest of TOTAL recordings are taken for."""
    right = sum(found == label for label, found in pairs)
    return right / total > limit or (right + total - len(pairs)) / total <= limit


def _class(answer, facts):
    """The class that ANSWER gives a recording; its status when it gives none."""
    try:
        said = answer.json()
    except Unmeasured:
        said = {}
    return said.get("prediction", {}).get(facts.ml.class_key) if said.get("success") else f"error {answer.status_code}"

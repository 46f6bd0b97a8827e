"""The classifier is real: it learns, is tried on recordings it never met, refuses garbage, and notices other files."""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from lab.ml import classifier, sounds, train, wav
from lab.ml.classifier import BadModel, Model
from tests.lab.standins import Home, make_home, service

ENOUGH = 0.95
"""Accuracy below which operations calls."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    train.make_model(folder)
    return folder


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, Path]]:
    folder = tmp_path_factory.mktemp("evaluation")
    train.make_evaluation(folder)
    return train.read_evaluation(folder)


def heard(files: list[tuple[str, Path]]) -> Iterator[tuple[str, sounds.Signal]]:
    return ((label, wav.read(path.read_bytes())) for label, path in files)


def test_no_recording_is_in_two_sets() -> None:
    def prints(count: int, seed: int) -> set[str]:
        return {hashlib.sha256(wav.encode(signal)).hexdigest() for _, signal in sounds.recordings(count, seed)}

    trained = prints(train.TRAINED, train.TRAINING)
    validated = prints(train.VALIDATED, train.VALIDATION)
    evaluated = prints(train.EVALUATED, train.EVALUATION)
    assert (len(trained), len(validated), len(evaluated)) == (240, 120, 60)
    assert not trained & validated
    assert not (trained | validated) & evaluated


def test_evaluation_set_has_as_many_recordings_of_each_species(evaluation: list[tuple[str, Path]]) -> None:
    labels = [label for label, _ in evaluation]
    assert {label: labels.count(label) for label in labels} == dict.fromkeys(sounds.CALLS, 10)


def test_good_model_is_accurate_on_recordings_it_never_met(models: Path, evaluation: list[tuple[str, Path]]) -> None:
    model, metadata = classifier.load(models)
    found = classifier.accuracy(model, heard(evaluation))
    assert ENOUGH < found < 1, "nothing to measure when it is always right"
    assert found == pytest.approx(metadata["accuracy"], abs=0.03)


def test_the_same_seeds_make_the_same_model(models: Path, tmp_path: Path) -> None:
    train.make_model(tmp_path)
    assert (tmp_path / classifier.METADATA).read_text() == (models / classifier.METADATA).read_text()


def test_confused_model_claims_what_it_does_not_hold(evaluation: list[tuple[str, Path]], tmp_path: Path) -> None:
    train.make_model(tmp_path, confused=2)
    model, metadata = classifier.load(tmp_path)
    found = classifier.accuracy(model, heard(evaluation))
    assert 0.5 < found < 0.8
    assert metadata["accuracy"] > ENOUGH


def test_recording_at_another_rate_is_classified_alike(models: Path) -> None:
    model, _ = classifier.load(models)
    for species, signal in sounds.recordings(3, seed=99):
        finer = np.interp(np.arange(3 * len(signal)) / 3, np.arange(len(signal)), signal)
        content = wav.encode(finer).replace(struct.pack("<I", sounds.RATE), struct.pack("<I", 3 * sounds.RATE), 1)
        assert len(wav.read(content)) == len(signal)
        assert model.classify(wav.read(content)) == model.classify(signal), species


def header(channels: int = 1, rate: int = sounds.RATE, width: int = 2, samples: int = 8000) -> bytes:
    size = samples * channels * width
    parts = (
        b"RIFF",
        36 + size,
        b"WAVEfmt ",
        16,
        1,
        channels,
        rate,
        rate * channels * width,
        channels * width,
        8 * width,
    )
    return struct.pack("<4sI8sIHHIIHH4sI", *parts, b"data", size) + bytes(size)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"RI", "not a WAV file: it ends too early"),
        (b"<html>no recording</html>", "not a WAV file: file does not start with RIFF id"),
        (header()[:5000], "the file ends after 2478 of 8000 samples"),
        (header(channels=2), "16-bit mono is read, this is 16-bit with 2 channels"),
        (header(width=1), "16-bit mono is read, this is 8-bit with 1 channels"),
        (header(rate=4000), "the rate is 4000 Hz, not between 8000 and 96000"),
        (header(samples=160), "the recording lasts 0.01 s, not between 0.1 and 60"),
        (header(samples=61 * sounds.RATE), "the recording lasts 61.00 s, not between 0.1 and 60"),
    ],
    ids=["empty", "stub", "html", "truncated", "stereo", "8-bit", "slow", "short", "long"],
)
def test_garbage_is_refused_with_its_reason(content: bytes, reason: str) -> None:
    with pytest.raises(wav.NotWav) as refused:
        wav.read(content)
    assert str(refused.value) == reason


def test_silence_is_classified_without_a_warning(models: Path) -> None:
    model, _ = classifier.load(models)
    assert sum(model.probabilities(np.zeros(sounds.SAMPLES)).values()) == pytest.approx(1)


def truncate(folder: Path) -> None:
    (folder / classifier.FILE).write_bytes((folder / classifier.FILE).read_bytes()[:1000])


def swap(folder: Path) -> None:
    (folder / classifier.FILE).write_bytes(b"another model")


def lose(folder: Path) -> None:
    (folder / classifier.FILE).unlink()


def garble_metadata(folder: Path) -> None:
    (folder / classifier.METADATA).write_text("{")


def forget_sum(folder: Path) -> None:
    (folder / classifier.METADATA).write_text(json.dumps({"file": classifier.FILE}))


def shrink(folder: Path) -> None:
    model, _ = classifier.load(folder)
    small = Model(model.classes, model.mean[:5], model.scale[:5], model.weights[:6])
    classifier.save(small, folder, version="2.4.0", expected=0.99)


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (truncate, "the metadata say"),
        (swap, "the metadata say"),
        (lose, "FileNotFoundError"),
        (garble_metadata, "JSONDecodeError"),
        (forget_sum, "KeyError: 'sha256'"),
        (shrink, "this service needs"),
    ],
)
def test_bad_model_is_not_loaded(harm: Callable[[Path], None], reason: str, models: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(models, tmp_path / "models")
    harm(folder)
    with pytest.raises(BadModel, match=reason):
        classifier.load(folder)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Home]:
    """The service, running."""
    made = make_home(tmp_path_factory.mktemp("ml"))
    shutil.copytree(models, made.models)
    train.make_evaluation(made.evaluation)
    with service("ml", made, made.ml):
        yield made


@pytest.fixture
def api(home: Home) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=home.ml, timeout=10) as client:
        yield client


def send(api: httpx.Client, content: bytes, name: str = "night.wav") -> httpx.Response:
    return api.post("/predict/upload", files={"file": (name, content, "audio/wav")})


def test_service_is_as_accurate_as_its_metadata_say(api: httpx.Client, home: Home) -> None:
    labelled = train.read_evaluation(home.evaluation)
    said = [send(api, path.read_bytes()).json()["prediction"]["class"] for _, path in labelled]
    right = sum(label == found for (label, _), found in zip(labelled, said, strict=True))
    assert right / len(labelled) > ENOUGH


def test_prediction_says_how_sure_it_is_and_by_which_model(api: httpx.Client, home: Home) -> None:
    (label, path), *_ = train.read_evaluation(home.evaluation)
    answer = send(api, path.read_bytes())
    prediction = answer.json()["prediction"]
    assert (answer.status_code, answer.json()["success"]) == (200, True)
    assert prediction["class"] == label
    assert prediction["confidence"] == max(prediction["probabilities"].values())
    assert sum(prediction["probabilities"].values()) == pytest.approx(1, abs=0.001)
    assert (prediction["model"], prediction["version"]) == ("audio_heavy", train.VERSION)


def test_status_counts_predictions(api: httpx.Client) -> None:
    def stats() -> dict[str, int]:
        counted: dict[str, int] = api.get("/models/status").json()["router_stats"]
        return counted

    before = stats()
    send(api, header())
    send(api, b"garbage")
    moved = {name: count - before[name] for name, count in stats().items()}
    assert moved == {"total_predictions": 2, "successful_predictions": 1, "failed_predictions": 1}


@pytest.mark.parametrize(
    ("name", "content", "status", "error"),
    [
        ("night.wav", b"", 400, "the file is empty"),
        ("night.jpg", b"\xff\xd8", 415, '"night.jpg" is not of a supported type (supported: .wav)'),
        ("night.wav", bytes(3_000_000), 413, "exceeds"),
    ],
    ids=["empty", "photo", "huge"],
)
def test_bad_upload_is_refused(api: httpx.Client, name: str, content: bytes, status: int, error: str) -> None:
    answer = send(api, content, name)
    assert (answer.status_code, answer.json()["success"]) == (status, False)
    assert error in answer.json()["error"]


def test_upload_without_a_file_is_refused(api: httpx.Client) -> None:
    answer = api.post("/predict/upload")
    assert (answer.status_code, answer.json()) == (400, {"success": False, "error": 'no file in the field "file"'})


def test_other_model_is_used_without_a_restart(api: httpx.Client, home: Home, models: Path) -> None:
    model, metadata = classifier.load(home.models)
    classifier.save(model, home.models, version="1.9.0", expected=metadata["accuracy"])
    try:
        assert api.get("/models/status").json()["models"]["audio_heavy"]["version"] == "1.9.0"
        assert send(api, header()).json()["prediction"]["version"] == "1.9.0"
    finally:
        shutil.copytree(models, home.models, dirs_exist_ok=True)


def test_broken_model_is_told_while_the_process_is_healthy(api: httpx.Client, home: Home, models: Path) -> None:
    truncate(home.models)
    try:
        status = api.get("/models/status")
        assert (status.status_code, status.json()["success"]) == (500, False)
        assert status.json()["models"]["audio_heavy"]["loaded"] is False
        assert "the metadata say" in status.json()["error"]
        assert send(api, header()).status_code == 503
        assert api.get("/health").json()["status"] == "healthy"
    finally:
        shutil.copytree(models, home.models, dirs_exist_ok=True)
    assert api.get("/models/status").json()["success"] is True


def test_wrong_classes_are_a_fault_in_the_share_that_is_asked_for(api: httpx.Client, home: Home) -> None:
    labelled = [(label, path.read_bytes()) for label, path in train.read_evaluation(home.evaluation)[:20]]
    good = [send(api, content).json()["prediction"]["class"] for _, content in labelled]
    with home.fault("ml", wrong_class=0.25):
        bad = [send(api, content).json()["prediction"]["class"] for _, content in labelled]
    assert sum(one != other for one, other in zip(good, bad, strict=True)) == 5


def test_slow_predictions_are_a_fault(api: httpx.Client, home: Home) -> None:
    with home.fault("ml", slow={"path": "/predict/*", "seconds": 0.6}):
        begun = time.monotonic()
        assert send(api, header()).status_code == 200
        assert time.monotonic() - begun >= 0.6

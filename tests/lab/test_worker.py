"""The worker empties the queues: recordings are classified, garbage is dropped, and nothing is lost while others are down."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.ml import sounds, train, wav
from tests.lab.standins import Home, Stack, make_home, service
from tests.probes.databases import until


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    train.make_model(folder)
    return folder


@pytest.fixture
def home(stack: Stack, tmp_path: Path, models: Path) -> Iterator[Home]:
    """A home with a model, and empty queues."""
    stack.empty_queues()
    variables = {name: stack.home.variables[name] for name in ("NIGHTSCAN_DATABASE_URI", "REDIS_URL")}
    made = make_home(tmp_path, **variables)
    made.models.symlink_to(models)
    yield made
    stack.empty_queues()


def queue(stack: Stack, folder: Path, species: str = "owl") -> tuple[int, Path]:
    """Row and file of a recording that waits to be classified."""
    ((number,),) = stack.sql(
        "INSERT INTO prediction (user_id, filename, file_size) VALUES (1, 'night.wav', 16044) RETURNING id"
    )
    path = folder / f"{number}.wav"
    signal = next(signal for label, signal in sounds.recordings(1, seed=5) if label == species)
    wav.write(path, signal)
    job = json.dumps({"id": number, "path": str(path), "filename": "night.wav"})
    stack.cache.client.zadd("prediction:queue", {job: 1.0})
    return number, path


def result(stack: Stack, number: int) -> object:
    ((found,),) = stack.sql(f"SELECT result FROM prediction WHERE id = {number}")
    return found


def waiting(stack: Stack) -> int:
    client = stack.cache.client
    return int(client.zcard("prediction:queue")) + int(client.llen("celery"))


def test_recording_gets_its_result(stack: Stack, home: Home) -> None:
    number, path = queue(stack, home.folder)
    stack.cache.client.lpush("celery", *(json.dumps({"task": "notify_prediction"}) for _ in range(5)))
    with service("ml", home, home.ml), service("worker", home):
        until(lambda: waiting(stack) == 0 and result(stack, number))
        until(lambda: not path.exists())
    found = result(stack, number)
    assert isinstance(found, dict)
    assert found["species"] == "owl"


def test_garbage_is_dropped_and_logged(stack: Stack, home: Home) -> None:
    client = stack.cache.client
    client.zadd("prediction:queue", {"no json": 1.0, "[]": 2.0, '{"id": 1, "path": "/nowhere", "filename": "x"}': 3.0})
    with service("worker", home):
        until(lambda: len(dropped(home)) == 3)
    assert waiting(stack) == 0
    assert [record["level"] for record in dropped(home)] == ["WARNING"] * 3


def dropped(home: Home) -> list[dict[str, Any]]:
    """What the worker says of jobs that it cannot do."""
    return [record for record in home.log() if record["message"].startswith("job dropped")]


def test_recording_waits_for_the_prediction_service(stack: Stack, home: Home) -> None:
    number, path = queue(stack, home.folder)
    with service("worker", home):
        until(lambda: any(record["message"].startswith("put back: prediction service") for record in home.log()))
        assert path.exists()
        with service("ml", home, home.ml):
            until(lambda: result(stack, number))
    assert waiting(stack) == 0

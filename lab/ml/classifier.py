"""The classifier: softmax regression on the figures of a recording, and the files that a model is kept in."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lab.ml.features import COUNT, features
from lab.ml.sounds import Signal

NAME = "audio_heavy"
FILE, METADATA = "audio_heavy.npz", "metadata.json"
ROUNDS, STEP, DECAY = 300, 0.5, 1e-3


class BadModel(Exception):
    """The model's files cannot be used; the text says which and why."""


@dataclass(frozen=True)
class Model:
    """Weights of one trained classifier."""

    classes: tuple[str, ...]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    weights: NDArray[np.float64]
    """One row for each figure, and a last one for the bias; one column for each class."""

    def probabilities(self, signal: Signal) -> dict[str, float]:
        """How likely SIGNAL is each of the classes."""
        row = _with_bias((features(signal) - self.mean)[None, :] / self.scale)
        return dict(zip(self.classes, map(float, _softmax(row @ self.weights)[0]), strict=True))

    def classify(self, signal: Signal) -> str:
        """The likeliest class."""
        found = self.probabilities(signal)
        return max(found, key=lambda name: found[name])


def fit(labelled: Iterable[tuple[str, Signal]]) -> Model:
    """The model that explains the LABELLED recordings best."""
    labels, rows = zip(*((label, features(signal)) for label, signal in labelled), strict=True)
    classes = tuple(sorted(set(labels)))
    table = np.array(rows)
    mean, scale = table.mean(axis=0), table.std(axis=0) + 1e-9
    inputs = _with_bias((table - mean) / scale)
    wanted = np.eye(len(classes))[[classes.index(label) for label in labels]]
    weights = np.zeros((COUNT + 1, len(classes)))
    for _ in range(ROUNDS):
        gradient = inputs.T @ (_softmax(inputs @ weights) - wanted) / len(inputs)
        weights -= STEP * (gradient + DECAY * weights)
    return Model(classes, mean, scale, weights)


def accuracy(model: Model, labelled: Iterable[tuple[str, Signal]]) -> float:
    """The part of the LABELLED recordings that MODEL names rightly."""
    hits = [model.classify(signal) == label for label, signal in labelled]
    return sum(hits) / len(hits)


def save(model: Model, folder: Path, *, version: str, expected: float) -> None:
    """Write MODEL and its metadata into FOLDER; EXPECTED is the accuracy it is said to have.

    The metadata come last and name the sum of the model: who reads between the two sees that they do not match.
    """
    buffer = io.BytesIO()
    np.savez(buffer, classes=np.array(model.classes), mean=model.mean, scale=model.scale, weights=model.weights)
    folder.mkdir(parents=True, exist_ok=True)
    _replace(folder / FILE, buffer.getvalue())
    metadata = {
        "name": NAME,
        "version": version,
        "file": FILE,
        "sha256": hashlib.sha256(buffer.getvalue()).hexdigest(),
        "classes": list(model.classes),
        "accuracy": round(expected, 4),
        "sample_rate": 16_000,
    }
    _replace(folder / METADATA, json.dumps(metadata, indent=2).encode() + b"\n")


def load(folder: Path) -> tuple[Model, dict[str, Any]]:
    """The model of FOLDER and its metadata; BadModel when one is missing, broken, or not the other's."""
    try:
        metadata = json.loads((folder / METADATA).read_bytes())
        content = (folder / metadata["file"]).read_bytes()
        found = hashlib.sha256(content).hexdigest()
        if found != metadata["sha256"]:
            raise BadModel(
                f'"{metadata["file"]}" has sha256 {found[:12]}…, the metadata say {metadata["sha256"][:12]}…'
            )
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            model = Model(
                tuple(map(str, arrays["classes"])),
                *(arrays[name].astype(np.float64) for name in ("mean", "scale", "weights")),
            )
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise BadModel(f"{type(error).__name__}: {error}") from error
    _check(model, metadata)
    return model, metadata


def _check(model: Model, metadata: dict[str, Any]) -> None:
    shapes = [array.shape for array in (model.mean, model.scale, model.weights)]
    fits = [(COUNT,), (COUNT,), (COUNT + 1, len(model.classes))]
    if shapes != fits:
        raise BadModel(f"the model's shapes are {shapes}, this service needs {fits}")
    if list(model.classes) != metadata.get("classes"):
        raise BadModel(f"the model knows {list(model.classes)}, the metadata say {metadata.get('classes')}")


def _replace(path: Path, content: bytes) -> None:
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_bytes(content)
    fresh.replace(path)


def _with_bias(table: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.hstack([table, np.ones((len(table), 1))])


def _softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))

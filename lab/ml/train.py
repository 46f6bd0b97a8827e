"""Makes the model and the labelled evaluation set: `python -m lab.ml.train MODELS_DIR EVALUATION_DIR`.

Training, validation and evaluation come from three seeds, so no recording is in two of them. The metadata carry the
accuracy on the validation set; the evaluation set is for others to measure with, and is never looked at here.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path

from lab.ml import classifier, wav
from lab.ml.sounds import CALLS, Signal, recordings

TRAINING, VALIDATION, EVALUATION = 1, 2, 7
"""Seeds of the three sets."""
TRAINED, VALIDATED, EVALUATED = 40, 20, 10
"""Recordings of each species in them."""
VERSION = "2.3.0"
LABELS = "labels.csv"


def make_model(folder: Path, *, version: str = VERSION, confused: int = 0) -> None:
    """Train a model and write it into FOLDER, as VERSION.

    With CONFUSED, the labels of that many species (2 or more) are mixed up in training: the model loads, claims the
    accuracy of a good one, and is wrong about these species. This is what drift looks like from outside.
    """
    expected = classifier.accuracy(good := classifier.fit(_mixed_up(0)), recordings(VALIDATED, VALIDATION))
    model = classifier.fit(_mixed_up(confused)) if confused else good
    classifier.save(model, folder, version=version, expected=expected)


def make_evaluation(folder: Path) -> None:
    """Write the evaluation set into FOLDER: WAV files, and `labels.csv` with the columns file and label."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LABELS).open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["file", "label"])
        for number, (species, signal) in enumerate(recordings(EVALUATED, EVALUATION), 1):
            name = f"recording-{number:03}.wav"
            wav.write(folder / name, signal)
            table.writerow([name, species])


def read_evaluation(folder: Path) -> list[tuple[str, Path]]:
    """Label and file of each recording of the evaluation set in FOLDER."""
    with (folder / LABELS).open(newline="", encoding="utf-8") as file:
        return [(row["label"], folder / row["file"]) for row in csv.DictReader(file)]


def _mixed_up(count: int) -> Iterator[tuple[str, Signal]]:
    """The training set, the labels of its first COUNT species turned by one."""
    names = list(CALLS)
    turned = names[1:count] + names[: min(count, 1)] + names[count:]
    for species, signal in recordings(TRAINED, TRAINING):
        yield turned[names.index(species)], signal


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m lab.ml.train", description="Make the model and the evaluation set."
    )
    parser.add_argument("models", type=Path, help="folder of the model and its metadata")
    parser.add_argument("evaluation", type=Path, help="folder of the labelled recordings")
    parser.add_argument("--version", default=VERSION, help="version of the model (default: %(default)s)")
    options = parser.parse_args()
    make_model(options.models, version=options.version)
    make_evaluation(options.evaluation)


if __name__ == "__main__":
    main()

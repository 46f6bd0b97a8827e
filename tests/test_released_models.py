"""Checks of the models by metadata that tell no checksums: what cannot be seen is said, and holds up no deployment."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_runbook.model import Outcome, Result, Severity

from tests.looking import looked

CHECKS = ("ml/models::models_are_whole", "ml/models::models_know_their_classes")
CONTENT = b"weights"


def audio(name: str, **more: str) -> dict[str, Any]:
    """What is told of a model, as far as every release tells it."""
    return {"name": name, "version": "2.1", "classes": [*"abcdef"], "expected_accuracy": 0.97, **more}


def judged(folder: Path, models: Sequence[dict[str, Any]]) -> tuple[int | None, Result]:
    """Exit code of the run, and what it finds of the models in FOLDER that the metadata call MODELS."""
    (folder / "metadata.json").write_text(json.dumps({"models": models}))
    (folder / "heavy.npz").write_bytes(CONTENT)
    record = looked(CHECKS, {"facts.paths.models": str(folder)}, folder / "report")
    return record.exit_code, next(one for one in record.results if one.check.id == CHECKS[0])


def test_metadata_without_checksums_are_unmeasured_and_hold_up_nothing(tmp_path: Path) -> None:
    code, seen = judged(tmp_path, [audio("audio_heavy")])
    assert (seen.outcome, seen.severity, code) == (Outcome.UNMEASURED, Severity.P3, 0), seen.message
    assert seen.message == "the metadata tell no file and checksum of model audio_heavy"
    assert seen.hint == f'let each release write "file" and "sha256" into {tmp_path}/metadata.json'


def test_a_changed_model_is_seen_beside_one_without_a_checksum(tmp_path: Path) -> None:
    right = hashlib.sha256(CONTENT).hexdigest()
    code, seen = judged(tmp_path, [audio("audio_light"), audio("audio_heavy", file="heavy.npz", sha256=right)])
    assert (seen.outcome, code) == (Outcome.UNMEASURED, 0), seen.message
    code, seen = judged(tmp_path, [audio("audio_light"), audio("audio_heavy", file="heavy.npz", sha256="0" * 64)])
    assert (seen.outcome, code) == (Outcome.FAILED, 1)
    assert seen.message == "not the file that was released: model audio_heavy"

"""Files of the checker's own machine: what may not be looked at is not taken for absent or empty."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_runbook import Unmeasured, files_like

from tests.probes.strangers import closed


def test_files_come_by_name_and_a_folder_that_is_not_there_has_none(tmp_path: Path) -> None:
    for name in ("b.wav", "a.wav", "labels.csv"):
        (tmp_path / name).touch()
    assert files_like(tmp_path, "*.wav") == [tmp_path / "a.wav", tmp_path / "b.wav"]
    assert files_like(tmp_path / "missing", "*.wav") == []


def test_a_folder_that_may_not_be_read_is_unmeasured(tmp_path: Path) -> None:
    hint = r"\n  hint: let user \".+\" read it, or run the checks as one who may"
    with closed(tmp_path / "set") as folder:
        for path in (folder, folder / "below"):
            with pytest.raises(Unmeasured, match=f'^"{path}" cannot be read: permission denied{hint}$'):
                files_like(path, "*.wav")

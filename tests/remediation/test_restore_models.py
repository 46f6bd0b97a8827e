"""The script that puts models back: only good copies come into place, and nothing is written elsewhere."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.probes.databases import until
from tests.remediation.acting import FOLDER, run


@contextmanager
def untouched(folder: Path) -> Iterator[None]:
    """Nothing below FOLDER is made, changed or removed, not even for a moment: that shows in the times of the folders."""

    def seen() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")]}

    before = seen()
    yield
    assert seen() == before


class Models:
    """A folder of models, and backups of it."""

    def __init__(self, folder: Path) -> None:
        self.models, self.backups, self.good = folder / "models", folder / "backups", folder / "good"
        self.release("2.3.0", b"weights of 2.3")

    def release(self, version: str, content: bytes, folder: Path | None = None) -> None:
        """Put a release into FOLDER."""
        folder = folder or self.models
        folder.mkdir(exist_ok=True)
        (folder / "audio.npz").write_bytes(content)
        told = {"name": "audio", "version": version, "file": "audio.npz", "sha256": hashlib.sha256(content).hexdigest()}
        (folder / "metadata.json").write_text(json.dumps(told))

    def back_up(self, day: str, prefix: str = "") -> Path:
        """Back the models up as the system does, below PREFIX in the archive."""
        folder = self.backups / day
        folder.mkdir(parents=True)
        archive = folder / "app_files.tar.gz"
        with tarfile.open(archive, "w:gz") as file:
            file.add(self.models, f"{prefix}models")
        digest = hashlib.sha256(archive.read_bytes()).hexdigest()
        (folder / "manifest.json").write_text(json.dumps({"files": {archive.name: {"sha256": digest}}}))
        return archive

    def back_up_what_is_new(self, day: str, before: str) -> Path:
        """Back up as the software does: what the backup BEFORE has is not stored again, and the manifest says so."""
        folder = self.backups / day
        folder.mkdir(parents=True)
        known = json.loads((self.backups / before / "manifest.json").read_text())["files"] if before else {}
        told, raw = {}, io.BytesIO()
        with tarfile.open(fileobj=raw, mode="w") as file:
            for path in sorted(self.models.glob("[a-z]*")):
                name, digest = f"models/{path.name}", hashlib.sha256(path.read_bytes()).hexdigest()
                same = known.get(name, {}).get("sha256") == digest
                told[name] = {"sha256": digest, "backup": known[name]["backup"] if same else day}
                if not same:
                    file.add(path, name)
        packed = subprocess.run(["zstd", "-qc"], input=raw.getvalue(), capture_output=True, check=True).stdout
        (folder / "files.tar.zst").write_bytes(packed)
        (folder / "manifest.json").write_text(json.dumps({"version": 1, "files": told}))
        return folder / "files.tar.zst"

    def run(self, mode: str, run_id: str = "20261123T010203Z-ab12") -> subprocess.CompletedProcess[str]:
        names = {"MODELS": self.models, "BACKUPS": self.backups, "GOOD_MODELS": self.good}
        variables = {f"RUNBOOK_FACT_PATHS_{name}": path for name, path in names.items()}
        more = {"RUNBOOK_FACT_ML_METADATA": "metadata.json", "RUNBOOK_RUN": run_id}
        return run("restore-models", mode, variables={**variables, **more})

    @property
    def content(self) -> bytes:
        return (self.models / "audio.npz").read_bytes()


@pytest.fixture
def models(tmp_path: Path) -> Models:
    return Models(tmp_path)


def test_whole_models_need_nothing(models: Models) -> None:
    models.back_up("20261121")
    assert models.run("whole").returncode == 0
    assert models.run("can-repair").returncode == 1
    assert models.run("can-go-back").returncode == 1


@pytest.mark.parametrize("prefix", ["", "opt/nightscan/", "/opt/nightscan/"])
@pytest.mark.parametrize("damage", ["truncated", "changed", "missing"])
def test_a_broken_model_is_put_back(models: Models, damage: str, prefix: str) -> None:
    models.back_up("20261121", prefix)
    file = models.models / "audio.npz"
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(b"weig" if damage == "truncated" else b"weights of 2.4")
        file.chmod(0o640)
    assert models.run("whole").returncode == 1
    assert models.run("can-repair").returncode == 0
    assert models.run("whole").returncode == 1, "looking repairs nothing"
    done = models.run("repair")
    assert (done.returncode, done.stderr) == (0, "")
    assert models.content == b"weights of 2.3"
    assert models.run("whole").returncode == 0
    assert damage == "missing" or file.stat().st_mode & 0o777 == 0o640


def test_a_copy_that_is_not_good_is_passed_over(models: Models) -> None:
    models.back_up("20261120")
    models.back_up("20261121").write_bytes(b"no archive")
    (models.models / "audio.npz").write_bytes(b"rotten")
    models.back_up("20261122")  # as rotten as what it was made of
    assert models.run("repair").returncode == 0
    assert models.content == b"weights of 2.3"


def test_nothing_is_put_in_place_without_a_good_copy(models: Models) -> None:
    (models.models / "audio.npz").write_bytes(b"rotten")
    models.back_up("20261122")
    assert models.run("can-repair").returncode == 1
    assert models.run("repair").returncode == 1
    assert models.content == b"rotten"


def test_going_back_takes_the_newest_other_release_and_can_be_undone(models: Models) -> None:
    models.back_up("20261119")
    models.release("2.4.0", b"weights of 2.4")
    models.back_up("20261120")
    models.release("2.5.0", b"weights of 2.5, confused")
    models.back_up("20261121")
    assert models.run("can-go-back").returncode == 0
    assert models.run("go-back").returncode == 0
    assert (models.content, models.run("whole").returncode) == (b"weights of 2.4", 0)
    assert models.run("undo").returncode == 0
    assert (models.content, models.run("whole").returncode) == (b"weights of 2.5, confused", 0)


def test_only_what_the_same_run_has_changed_is_taken_back(models: Models) -> None:
    models.back_up("20261119")
    file = models.models / "audio.npz"
    file.write_bytes(b"rotten")
    assert models.run("repair", "weeks-ago").returncode == 0
    (models.models / ".before-2025-01-old").mkdir()
    done = models.run("undo")
    assert (done.returncode, done.stdout) == (1, "nothing was changed\n")
    assert models.content == b"weights of 2.3", "it was rotten before the repair of weeks ago"
    file.write_bytes(b"rotten")
    assert models.run("repair").returncode == 0
    assert models.run("undo").returncode == 1, "a repair is not taken back"
    assert models.content == b"weights of 2.3"


def test_a_second_time_in_one_run_is_taken_back_alone(models: Models) -> None:
    models.back_up("20261119")
    models.release("2.4.0", b"weights of 2.4")
    assert models.run("go-back").returncode == 0
    models.release("2.5.0", b"weights of 2.5")
    assert models.run("go-back").returncode == 0
    assert models.run("undo").returncode == 0
    assert models.content == b"weights of 2.5"
    assert models.run("undo").returncode == 1


def test_going_back_that_did_not_work_changes_nothing(models: Models) -> None:
    models.back_up("20261119")
    models.release("2.4.0", b"weights of 2.4")
    (models.models / ".metadata.json.new").mkdir()  # stands in the way, after the model was written
    assert models.run("go-back").returncode == 1
    assert models.run("undo").returncode == 1
    assert (models.content, models.run("whole").returncode) == (b"weights of 2.4", 0)
    assert sorted(path.name for path in models.models.iterdir()) == [".metadata.json.new", "audio.npz", "metadata.json"]


def test_looking_for_a_copy_unpacks_nothing(models: Models, tmp_path: Path) -> None:
    """The disk of the models is the database's too: it must not fill because somebody looked."""
    for day in range(10, 20):
        models.back_up(f"202611{day}")
    models.release("2.4.0", b"weights of 2.4")
    models.back_up("20261120")
    with untouched(tmp_path):
        assert models.run("can-go-back").returncode == 0
    (models.models / "audio.npz").write_bytes(b"rotten")
    with untouched(tmp_path):
        assert models.run("can-repair").returncode == 0


def test_a_copy_that_does_not_fit_on_the_disk_is_left_where_it_is(models: Models) -> None:
    models.back_up("20261119")
    (models.models / "audio.npz").write_bytes(b"rotten")
    script = (FOLDER / "restore-models").read_text().replace("ROOM = 64 * 2**20", "ROOM = 2**70")
    names = {"MODELS": models.models, "BACKUPS": models.backups, "GOOD_MODELS": ""}
    environment = {**os.environ, **{f"RUNBOOK_FACT_PATHS_{name}": str(path) for name, path in names.items()}}
    environment["RUNBOOK_FACT_ML_METADATA"] = "metadata.json"
    for mode in ("can-repair", "repair"):
        command = [sys.executable, "-c", script, mode]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
        assert (done.returncode, "there is no room for it" in done.stdout) == (1, True)
    assert models.content == b"rotten"


def test_what_is_told_to_end_leaves_nothing_behind(models: Models) -> None:
    models.release("2.4.0", os.urandom(300_000_000), models.good)
    names = {"MODELS": models.models, "BACKUPS": models.backups, "GOOD_MODELS": models.good}
    environment = {**os.environ, **{f"RUNBOOK_FACT_PATHS_{name}": str(path) for name, path in names.items()}}
    environment["RUNBOOK_FACT_ML_METADATA"] = "metadata.json"
    with subprocess.Popen([FOLDER / "restore-models", "go-back"], env=environment) as process:
        until((models.models / ".audio.npz.new").exists)
        process.terminate()
        assert process.wait(20) == 143
    assert sorted(path.name for path in models.models.iterdir()) == ["audio.npz", "metadata.json"]
    assert models.content == b"weights of 2.3"


def test_backups_that_hold_only_what_is_new_are_read_as_well(models: Models) -> None:
    models.back_up_what_is_new("20261119T020000Z", "")
    models.release("2.4.0", b"weights of 2.4")
    models.back_up_what_is_new("20261120T020000Z", "20261119T020000Z")
    models.back_up_what_is_new("20261121T020000Z", "20261120T020000Z")
    (models.models / "audio.npz").write_bytes(b"rotten")
    assert models.run("repair").returncode == 0
    assert models.content == b"weights of 2.4"
    assert models.run("go-back").returncode == 0
    assert models.content == b"weights of 2.3"


def test_a_backup_that_is_not_what_its_manifest_says_is_passed_over(models: Models) -> None:
    first = models.back_up_what_is_new("20261119T020000Z", "")
    models.release("2.4.0", b"weights of 2.4")
    broken = models.back_up_what_is_new("20261120T020000Z", "20261119T020000Z")
    broken.write_bytes(first.read_bytes())
    models.release("2.5.0", b"weights of 2.5")
    assert models.run("go-back").returncode == 0
    assert models.content == b"weights of 2.3"


def test_the_folder_of_good_models_comes_first(models: Models) -> None:
    models.back_up("20261119")
    models.release("2.5.0", b"weights of 2.5, confused")
    models.release("2.4.0", b"weights of 2.4", models.good)
    models.run("go-back")
    assert models.content == b"weights of 2.4"


def test_metadata_that_lead_out_of_the_folder_are_not_followed(models: Models, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"not a model")
    models.release("2.4.0", b"weights of 2.4", models.good)
    told = {"name": "audio", "version": "6", "file": "../victim", "sha256": hashlib.sha256(b"not a model").hexdigest()}
    (models.good / "metadata.json").write_text(json.dumps(told))
    assert models.run("can-go-back").returncode == 1


def test_an_archive_cannot_write_elsewhere(models: Models, tmp_path: Path) -> None:
    models.release("2.4.0", b"weights of 2.4")
    archive = models.back_up("20261121")
    evil = tmp_path / "evil"
    evil.write_bytes(b"evil")
    with tarfile.open(archive, "w:gz") as file:
        file.add(models.models, "models")
        file.add(evil, "models/../../../escaped")
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    (archive.parent / "manifest.json").write_text(json.dumps({"files": {archive.name: {"sha256": digest}}}))
    (models.models / "audio.npz").write_bytes(b"rotten")
    assert models.run("repair").returncode == 0
    assert not list(tmp_path.rglob("escaped"))
    assert not (tmp_path.parent / "escaped").exists()

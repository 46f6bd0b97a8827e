"""The scripts beside the runbooks: what they remove, move and put back, and above all what they leave alone."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import pwd
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.probes.databases import until
from tests.remediation.acting import FOLDER

DAY = 86_400
MONTH = 30 * DAY


def run(
    script: str, *arguments: object, variables: Mapping[str, object] | None = None
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **{name: str(value) for name, value in (variables or {}).items()}}
    command = [str(FOLDER / script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=60)


def write(path: Path, days: float = 0.0, content: str = "x\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    moment = time.time() - days * DAY
    os.utime(path, (moment, moment))
    return path


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """A folder of logs, the old ones among them with names that are hard to get right."""
    folder = tmp_path / "a folder [of] logs"
    for name in (
        "a.log",
        "with space.log.1",
        "new\nline.log",
        "-rf.log",
        "sub/b.log.gz",
        "$(id).log",
        "'\".log",
        "*.log",
    ):
        write(folder / name, 40)
    write(folder / "young.log", 29)
    write(folder / "model.bin", 400)
    return folder


# -- old-files.sh --


def test_old_files_go_and_nothing_else(logs: Path) -> None:
    done = run("old-files.sh", "remove", logs, MONTH, "*.log*")
    assert (done.returncode, done.stderr) == (0, "")
    assert "8 files removed" in done.stdout
    left = sorted(str(path.relative_to(logs)) for path in logs.rglob("*") if path.is_file())
    assert left == ["model.bin", "young.log"]


def test_links_are_neither_followed_nor_removed(logs: Path, tmp_path: Path) -> None:
    elsewhere = write(tmp_path / "elsewhere" / "victim.log", 40)
    (logs / "folder").symlink_to(elsewhere.parent)
    (logs / "file.log").symlink_to(elsewhere)
    os.utime(logs / "file.log", (0, 0), follow_symlinks=False)
    run("old-files.sh", "remove", logs, MONTH, "*.log*")
    assert elsewhere.exists()
    assert (logs / "file.log").is_symlink()
    assert (logs / "folder").is_symlink()


def test_a_folder_that_is_itself_a_link_is_meant(logs: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(logs)
    assert "8 files removed" in run("old-files.sh", "remove", link, MONTH, "*.log*").stdout


def test_what_a_process_holds_open_stays(logs: Path) -> None:
    held = write(logs / "quiet.log", 0)
    with held.open("a"):
        os.utime(held, (0, 0))
        assert "8 files removed" in run("old-files.sh", "remove", logs, MONTH, "*.log*").stdout
        assert held.exists()
    assert "1 files removed" in run("old-files.sh", "remove", logs, MONTH, "*.log*").stdout


def test_evidence_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "var" / "log"
    for name in ("syslog.1", "auth.log.2.gz", "dpkg.log.3.gz"):
        write(folder / name, 40)
    run("old-files.sh", "remove", folder, DAY, "*.gz", "*.[0-9]", "--keep", "auth*", "secure*")
    assert [path.name for path in folder.iterdir()] == ["auth.log.2.gz"]


def test_looking_changes_nothing_and_says_whether_there_are_any(logs: Path) -> None:
    before = sorted(logs.rglob("*"))
    looked = run("old-files.sh", "look", logs, MONTH, "*.log*")
    assert (looked.returncode, looked.stdout.partition(",")[0]) == (0, "8 files")
    assert sorted(logs.rglob("*")) == before
    assert run("old-files.sh", "look", logs, MONTH, "*.nothing").returncode == 1


# What follows only looks, never removes: should a guard fail, a test must not be what proves it on the machine it runs on.
HIGH_UP = ("/", "//", "/var", "//var/", "/../", "/proc/self/root", "/tmp/../var")
OF_THE_SYSTEM = ("/etc/ssl", "/usr/bin", "//usr//lib", "/tmp/../usr/share", "/var/lib/dpkg", "/lib/x86_64-linux-gnu")


@pytest.mark.parametrize("folder", [*HIGH_UP, *OF_THE_SYSTEM])
def test_a_folder_that_cannot_be_meant_is_refused(folder: str) -> None:
    if not Path(folder).is_dir():
        pytest.skip(f"this machine has no {folder}")
    for done in (run("old-files.sh", "look", folder, MONTH, "*"), run("rotate-logs.sh", "look", folder, 2**40)):
        assert done.returncode == 2, done.stdout
        assert f'"{folder}" is "/' in done.stderr


def test_a_relative_folder_is_refused() -> None:
    assert run("old-files.sh", "look", "logs", MONTH, "*").returncode == 2


@pytest.mark.parametrize("target", ["/", "/usr", "/etc/ssl"])
def test_a_link_to_a_folder_that_cannot_be_meant_is_refused(tmp_path: Path, target: str) -> None:
    (tmp_path / "logs").symlink_to(target)
    done = run("old-files.sh", "look", tmp_path / "logs", MONTH, "*.log")
    assert (done.returncode, f'"{target}"' in done.stderr) == (2, True)


@pytest.mark.parametrize("age", ["", "60", "-1", "30d", "1e9"])
def test_an_age_that_cannot_be_meant_is_refused(logs: Path, age: str) -> None:
    assert run("old-files.sh", "remove", logs, age, "*.log*").returncode == 2
    assert (logs / "a.log").exists()


@pytest.mark.parametrize("folder", ["", "/nowhere/at/all"])
def test_without_a_folder_there_is_nothing_to_do(folder: str) -> None:
    assert run("old-files.sh", "look", folder, MONTH, "*").returncode == 1
    assert run("old-files.sh", "remove", folder, MONTH, "*").returncode == 0, "nothing is no failure"


@pytest.mark.parametrize("name", ["UPLOADS", "MODELS", "BACKUPS", "CONFIG", "EVALUATION", "GOOD_MODELS"])
def test_what_users_and_releases_own_is_never_removed(tmp_path: Path, name: str) -> None:
    """A setting that slipped: the folder of the cache is that of the system, or lies among the uploads."""
    own = tmp_path / "system" / name.lower()
    write(own / "sub" / "photo.jpg", 400)
    variables = {f"RUNBOOK_FACT_PATHS_{name}": f"{tmp_path}/system/../system/{name.lower()}"}
    for folder in (tmp_path / "system", own, own / "sub"):
        for mode in ("look", "remove"):
            done = run("old-files.sh", mode, folder, DAY, "*", variables=variables)
            assert (done.returncode, f"facts.paths.{name.lower()}" in done.stderr) == (2, True)
    write(tmp_path / "system" / "cache" / "page", 400)
    done = run("old-files.sh", "remove", tmp_path / "system" / "cache", DAY, "*", variables=variables)
    assert "1 files removed" in done.stdout
    assert (own / "sub" / "photo.jpg").exists()


# -- is-full.sh --


def test_a_file_system_is_full_from_its_share_on(tmp_path: Path) -> None:
    seen = os.statvfs(tmp_path)
    used = seen.f_blocks - seen.f_bfree
    share = used / (used + seen.f_bavail)
    assert run("is-full.sh", "bytes", share - 0.01, tmp_path).returncode == 0
    assert run("is-full.sh", "bytes", share + 0.01, tmp_path).returncode == 1
    if seen.f_files:
        files = (seen.f_files - seen.f_ffree) / seen.f_files
        assert run("is-full.sh", "inodes", files - 0.01, tmp_path).returncode == 0
        assert run("is-full.sh", "inodes", files + 0.01, tmp_path).returncode == 1


def test_a_folder_beside_the_one_that_needs_room_counts_as_full(tmp_path: Path) -> None:
    (tmp_path / "backups").mkdir()
    assert run("is-full.sh", "bytes", "1.1", tmp_path, tmp_path / "backups").returncode == 0
    assert run("is-full.sh", "bytes", "1.1", tmp_path, "/proc").returncode == 1
    assert run("is-full.sh", "bytes", "1.1", tmp_path, "/nowhere").returncode == 1


@pytest.mark.parametrize("arguments", [("bytes", "85%", "/tmp"), ("bits", "0.85", "/tmp"), ("bytes", "0.85")])
def test_what_cannot_be_meant_is_refused(arguments: tuple[str, ...]) -> None:
    assert run("is-full.sh", *arguments).returncode == 2


@pytest.mark.parametrize("folder", ["", "/nowhere/at/all", "/proc"])
def test_what_is_not_there_or_has_no_size_is_not_full(folder: str) -> None:
    assert run("is-full.sh", "bytes", "0.0", folder).returncode == 1
    assert run("is-full.sh", "inodes", "0.0", folder).returncode == 1


# -- rotate-logs.sh --


def test_what_is_compressed_already_is_not_large(tmp_path: Path) -> None:
    for ending in ("1.gz", "2.xz", "3.bz2", "4.zst"):
        write(tmp_path / f"debug.log.{ending}", content="x" * 10_000)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert run("rotate-logs.sh", "look", tmp_path, 5000).returncode == 1
    assert "0 logs" in run("rotate-logs.sh", "rotate", tmp_path, 5000).stdout
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_who_is_not_root_leaves_the_logs_of_others_alone() -> None:
    """He sees neither who writes to them, nor can he give the service a new one that it may write to."""
    with tempfile.TemporaryDirectory(prefix="runbook-logs-") as name:
        folder = Path(name)
        folder.chmod(0o777)
        log = write(folder / "web.log", content="a line\n" * 1000)
        log.chmod(0o666)
        script = folder / "rotate-logs.sh"
        script.write_bytes((FOLDER / "rotate-logs.sh").read_bytes())
        script.chmod(0o755)
        nobody = pwd.getpwnam("nobody").pw_uid
        command = [str(script), "rotate", name, "5000"]
        done = subprocess.run(command, user=nobody, capture_output=True, text=True, check=False, timeout=60, cwd="/")
        assert (done.returncode, f'"{log}" belongs to root' in done.stderr) == (2, True), done.stderr
        assert sorted(path.name for path in folder.iterdir()) == ["rotate-logs.sh", "web.log"]
        os.chown(log, nobody, -1)
        done = subprocess.run(command, user=nobody, capture_output=True, text=True, check=False, timeout=60, cwd="/")
        assert (done.returncode, "1 logs" in done.stdout) == (0, True), done.stderr
        assert (log.stat().st_uid, log.stat().st_mode & 0o777, log.stat().st_size) == (nobody, 0o666, 0)


def test_a_large_log_is_compressed_and_a_new_one_stands_in_its_place(tmp_path: Path) -> None:
    log = write(tmp_path / "debug.log", content="a line\n" * 1000)
    log.chmod(0o640)
    write(tmp_path / "small.log")
    assert run("rotate-logs.sh", "look", tmp_path, 5000).returncode == 0
    done = run("rotate-logs.sh", "rotate", tmp_path, 5000)
    assert (done.returncode, done.stderr) == (0, "")
    (packed,) = tmp_path.glob("debug.log.*.gz")
    assert gzip.decompress(packed.read_bytes()).decode() == "a line\n" * 1000
    assert (log.read_text(), log.stat().st_mode & 0o777) == ("", 0o640)
    assert (tmp_path / "small.log").read_text() == "x\n"
    assert run("rotate-logs.sh", "look", tmp_path, 5000).returncode == 1


def test_no_line_is_lost_while_somebody_writes(tmp_path: Path) -> None:
    log = write(tmp_path / "debug.log", content="before\n" * 1000)
    with log.open("a") as writer:
        done = run("rotate-logs.sh", "rotate", tmp_path, 5000)
        assert f"still written by process {os.getpid()}" in done.stdout
        writer.write("after\n")
    run("rotate-logs.sh", "rotate", tmp_path, 5000)
    (packed,) = tmp_path.glob("debug.log.*.gz")
    assert gzip.decompress(packed.read_bytes()).decode() == "before\n" * 1000 + "after\n"


def test_a_log_that_is_a_link_is_left_alone(tmp_path: Path) -> None:
    target = write(tmp_path / "elsewhere" / "data.bin", content="x" * 10_000)
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "link.log").symlink_to(target)
    run("rotate-logs.sh", "rotate", folder, 5000)
    assert target.stat().st_size == 10_000
    assert (folder / "link.log").is_symlink()


# -- prune-images.sh --


def test_without_a_container_engine_there_is_nothing_to_prune() -> None:
    for age in (604_800, 604_800.0):
        variables = {"RUNBOOK_FACT_DEPLOY_ENGINE": "", "RUNBOOK_LIMIT_FILES_LAYERS_AGE": age}
        done = run("prune-images.sh", "look", variables=variables)
        assert (done.returncode, done.stderr) == (1, "")


# -- restore-models --


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

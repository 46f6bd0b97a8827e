"""The scripts beside the runbooks: what they remove, move and put back, and above all what they leave alone."""

from __future__ import annotations

import gzip
import os
import pwd
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from tests.remediation.acting import FOLDER, run

DAY = 86_400
MONTH = 30 * DAY


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

"""A lab comes up in any folder and for any user, and goes down without leftovers, however it was left."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest
import redis

from lab import Lab, LabError, binaries, leftovers
from lab.servers import port_names
from lab.site import choose_ports
from tests.labs import ROOT


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Lab]:
    """A lab of the test's own, not started."""
    lab = Lab(tmp_path / "lab")
    yield lab
    lab.down(purge=True)


def memory(lab: Lab) -> set[str]:
    """The System V shared memory of the lab's PostgreSQL servers, which they leave when they are killed."""
    files = lab.folder.glob("*/postmaster.pid")
    return {file.read_text().splitlines()[6].split()[1] for file in files} & all_memory()


def all_memory() -> set[str]:
    """The System V shared memory of this machine."""
    return {line.split()[1] for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]}


def listening(lab: Lab) -> list[int]:
    """The lab's ports that somebody listens on."""
    found = []
    for port in lab.site.state.ports.values():
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.connect(("127.0.0.1", port))
            found.append(port)
    return found


def traces(lab: Lab) -> list[object]:
    """What a lab that is down must not leave."""
    sockets = [path for path in Path("/tmp").glob("seaweedfs-*.sock") if _is_of(path, lab)]
    runtime = [path for path in [lab.site.runtime] if path.exists()]
    return [*leftovers.find(lab.folder), *listening(lab), *sockets, *runtime]


def _is_of(path: Path, lab: Lab) -> bool:
    ports = set(lab.site.state.ports.values())
    return int(path.stem.rpartition("-")[2]) in ports | {port + 10_000 for port in ports}


def test_down_leaves_nothing_and_up_again_keeps_the_data(fresh: Lab) -> None:
    lines: list[str] = []
    fresh.up(lines.append)
    segments = memory(fresh)
    assert len(segments) == 2
    assert {line.split()[0] for line in lines} >= {"database", "standby", "cache", "web", "ml", "traffic"}
    env = fresh.environment()
    fresh.sql("INSERT INTO alembic_version VALUES ('kept')")
    with redis.Redis.from_url(env["REDIS_URL"]) as client:
        client.set("kept", "too")
    fresh.down()
    assert traces(fresh) == []
    assert not segments & all_memory()

    fresh.up()
    again = fresh.environment()
    assert again["SECRET_KEY"] == env["SECRET_KEY"]
    with psycopg.connect(again["NIGHTSCAN_DATABASE_URI"]) as connection:
        assert connection.execute("SELECT 1 FROM alembic_version WHERE version_num = 'kept'").fetchone() == (1,)
    with redis.Redis.from_url(again["REDIS_URL"]) as client:
        assert client.get("kept") == b"too"
    assert all(status.healthy for status in fresh.status())

    fresh.down(purge=True)
    assert not fresh.folder.exists()


@pytest.mark.parametrize("victim", ["the supervisor", "the servers"])
def test_down_finds_what_a_kill_left(fresh: Lab, victim: str) -> None:
    fresh.up()
    segments = memory(fresh)
    supervisor = next(
        process for process in leftovers.find(fresh.folder) if "supervisor.supervisord" in process.cmdline()
    )
    if victim == "the supervisor":
        supervisor.kill()
        supervisor.wait(5)
        shutil.rmtree(fresh.site.runtime)
    else:
        # They die without a word to their children; the supervisor is frozen, so that it starts nothing again.
        supervisor.suspend()
        for process in supervisor.children():
            process.kill()
    fresh.down()
    assert traces(fresh) == []
    assert not segments & all_memory()


def test_a_killed_up_is_taken_down_and_comes_up_the_next_time(fresh: Lab) -> None:
    command = [sys.executable, "-m", "lab", "--dir", str(fresh.folder), "up"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as up:
        assert up.stdout is not None
        # The first server is ready: the others are on their way.
        assert "is ready" in up.stdout.readline()
        up.kill()
    fresh.up()
    assert all(status.healthy for status in fresh.status())
    assert (fresh.folder / "environment.sh").is_file()
    assert list(fresh.site.home.glob("backups/*/manifest.json"))


def test_an_interrupted_up_takes_down_what_it_started(fresh: Lab) -> None:
    command = ["env", "--default-signal=INT", sys.executable, "-m", "lab", "--dir", str(fresh.folder), "up"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as up:
        assert up.stdout is not None
        up.stdout.readline()
        up.send_signal(signal.SIGINT)
        _, errors = up.communicate(timeout=60)
    assert (up.returncode, errors) == (130, "interrupted\n")
    assert traces(fresh) == []


def test_two_labs_stand_side_by_side_and_down_ends_only_its_own(lab: Lab, fresh: Lab) -> None:
    fresh.up()
    mine, other = fresh.environment(), lab.environment()
    assert not set(fresh.site.state.ports.values()) & set(lab.site.state.ports.values())
    assert mine["DB_PASSWORD"] != other["DB_PASSWORD"]
    with subprocess.Popen(["sleep", "60"], cwd=fresh.folder / "database") as bystander:
        fresh.down(purge=True)
        assert bystander.poll() is None
        bystander.kill()
    assert all(status.healthy for status in lab.status())


def test_ports_of_a_lab_on_its_way_are_nobody_elses() -> None:
    with choose_ports(port_names(), {}) as mine, choose_ports(port_names(), mine) as others:
        assert not set(mine.values()) & set(others.values())


def test_ports_that_somebody_took_meanwhile_are_changed() -> None:
    with choose_ports(port_names(), {}) as before:
        pass
    with socket.create_server(("127.0.0.1", before["cache"])), choose_ports(port_names(), before) as now:
        assert before["cache"] not in now.values()
    with choose_ports(port_names(), before) as now:
        assert now == before


def test_a_deep_folder_with_spaces_comes_up(tmp_path: Path) -> None:
    deep = Lab(tmp_path / ("a folder with spaces and a very long name " * 3) / "lab")
    deep.up()
    try:
        runtime = deep.site.runtime
        assert not runtime.is_relative_to(deep.folder)
        assert runtime.stat().st_mode & 0o777 == 0o700
        assert httpx.get(deep.environment()["RUNBOOK__PROBES__WEB__URL"] + "/health").status_code == 200
    finally:
        deep.down(purge=True)
    assert not runtime.exists()


def test_a_folder_whose_name_no_configuration_can_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r'cannot hold the path ".*costs \$1"\n  hint: choose another --dir'):
        Lab(tmp_path / "costs $1").up()
    assert not (tmp_path / "costs $1" / "lab.json").exists()


def test_a_server_that_does_not_start_is_named_with_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Lab(tmp_path / "lab")
    monkeypatch.setattr(binaries, "redis", lambda: Path("/bin/false"))
    begun = time.monotonic()
    with pytest.raises(LabError, match='"cache" ended at once'):
        broken.up()
    assert time.monotonic() - begun < 60
    assert traces(broken) == []


def test_a_lab_that_never_was_is_down(tmp_path: Path) -> None:
    nothing = Lab(tmp_path / "nothing")
    nothing.down(purge=True)
    with pytest.raises(LabError, match=r"no lab in .*\n  hint: python -m lab --dir .* up"):
        nothing.status()
    assert not nothing.folder.exists()


def test_an_unreadable_state_is_named_and_can_be_purged(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "lab")
    lab.folder.mkdir()
    (lab.folder / "lab.json").write_text('{"ports": ')
    with pytest.raises(LabError, match=r'cannot read ".*lab.json": .*\n  hint: .*down --purge'):
        lab.up()
    lab.down(purge=True)
    assert not lab.folder.exists()


@pytest.fixture
def home_of_nobody() -> Iterator[Path]:
    """A folder of an ordinary user."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user; the other tests ran as an ordinary one")
    home = Path(tempfile.mkdtemp(prefix="lab-of-nobody-"))
    shutil.chown(home, "nobody")
    try:
        if as_nobody(home, "-c", "import lab, supervisor").returncode != 0:
            pytest.skip(f'the user nobody may not run "{sys.executable}" or read what it imports')
        yield home
    finally:
        leftovers.end(home / "lab", patience=0)
        shutil.rmtree(home)


def as_nobody(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python, run by an ordinary user at home in HOME."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return subprocess.run(
        ["/usr/bin/env", sys.executable, *arguments],
        env=environment,
        cwd="/",
        user="nobody",
        group=pwd.getpwnam("nobody").pw_gid,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_ordinary_user_needs_no_root(home_of_nobody: Path) -> None:
    def run(*arguments: str) -> int:
        done = as_nobody(home_of_nobody, "-m", "lab", "--dir", str(home_of_nobody / "lab"), *arguments)
        print(done.stdout, done.stderr)
        return done.returncode

    assert run("up") == 0
    assert run("status") == 0
    assert {process.username() for process in leftovers.find(home_of_nobody / "lab")} == {"nobody"}
    assert run("break", "cache-stopped") == 0
    assert run("status") == 1
    assert run("heal") == 0
    assert run("down", "--purge") == 0
    assert list(home_of_nobody.iterdir()) == []


def test_a_child_of_the_caller_is_noticed_when_it_ends(lab: Lab) -> None:
    pid = lab.spawn("sleep", "60")
    assert pid in {process.pid for process in leftovers.find(lab.folder)}
    psutil.Process(pid).kill()
    psutil.Process(pid).wait(5)
    lab._reap()

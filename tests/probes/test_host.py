"""The host probe on real machines: this one, the same by ssh, a container; figures, commands, and what it says of failures."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from pytest_runbook.errors import Unmeasured, Unreachable, UsageError
from pytest_runbook.evidence.context import Notebook, writing
from pytest_runbook.probes.host import Host, HostSettings
from pytest_runbook.probes.host.machine import execute

from tests.probes.databases import black_hole, free_port, until
from tests.probes.machines import Ssh, container, ntp_server, ssh_server
from tests.probes.strangers import closed


@pytest.fixture(scope="module")
def ssh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ssh]:
    with ssh_server(tmp_path_factory.mktemp("ssh")) as server:
        yield server


@asynccontextmanager
async def probing(uri: str = "local://", **settings: Any) -> AsyncIterator[Host]:
    probe = Host("host", HostSettings(kind="host", uri=uri, **settings))
    try:
        yield probe
    finally:
        await probe.close()


def plain_host(uri: str = "local://", **settings: Any) -> Host:
    """The probe as a plain check gets it: made on a loop, used outside of it."""

    async def make() -> Host:
        return Host("host", HostSettings(kind="host", uri=uri, **settings))

    return asyncio.run(make())


def using(folder: str) -> list[psutil.Process]:
    """Processes whose command line names FOLDER."""
    return [one for one in psutil.process_iter(["cmdline"]) if folder in " ".join(one.info["cmdline"] or [])]


def test_figures_of_this_machine_are_true(tmp_path: Path) -> None:
    async def look() -> None:
        async with probing() as host:
            memory = await host.memory()
            assert 0 < memory.used < memory.total <= psutil.virtual_memory().total
            assert memory.used_fraction == pytest.approx(memory.used / memory.total)
            disk = await host.disk(tmp_path)
            usage = shutil.disk_usage(tmp_path)
            assert disk.total == usage.total
            assert disk.free == pytest.approx(usage.free, rel=0.01)
            assert disk.mount in [part.mountpoint for part in psutil.disk_partitions(all=True)]
            assert disk.inodes == os.statvfs(tmp_path).f_files
            assert 0 < disk.used_fraction < 1
            load = await host.load()
            assert (load.cores, load.one >= 0) == (os.cpu_count(), True)
            assert await host.uptime() == pytest.approx(time.time() - psutil.boot_time(), abs=5)
            (tmp_path / "secret").touch(0o600)
            assert await host.file_mode(tmp_path / "secret") == 0o600

    asyncio.run(look())


def test_a_listening_port_is_seen_with_its_process() -> None:
    async def look() -> None:
        async with probing() as host:
            with socket.create_server(("127.0.0.1", 0)) as server:
                number = server.getsockname()[1]
                [port] = [one for one in await host.ports() if one.port == number]
                assert (port.address, port.pid, port.public) == ("127.0.0.1", os.getpid(), False)
                assert port.process
            assert number not in [one.port for one in await host.ports()]

    asyncio.run(look())


def test_what_is_not_there_is_unmeasured(tmp_path: Path) -> None:
    missing = tmp_path / "missing"

    async def look() -> None:
        async with probing() as host:
            with pytest.raises(Unmeasured, match=f'"local://": no such file or directory "{missing}"'):
                await host.disk(missing)
            with pytest.raises(Unmeasured, match="No such file"):
                await host.file_mode(missing)

    asyncio.run(look())


def test_a_plain_check_uses_testinfra_and_leaves_evidence(tmp_path: Path) -> None:
    path = tmp_path / "it's here"
    path.write_text("x" * 9000)
    path.chmod(0o640)
    host, notebook = plain_host(), Notebook("host/security::modes")
    with writing(notebook):
        assert host.file(str(path)).mode == 0o640
        assert not host.file(str(tmp_path / "missing")).exists
        assert host.check_output("cat %s", str(path)) == "x" * 9000
        assert host.run("exit 3").rc == 3
        assert host.run("printf 'caf\\351'").stdout == "caf\ufffd"
    seen = notebook.observations
    assert all(one.ok and one.probe == "host" and one.target == "local://" for one in seen)
    by_operation = {one.operation: one.answer for one in seen}
    assert by_operation["run exit 3"] == {"status": 3, "stdout": "", "stderr": ""}
    [cat] = [one for one in seen if one.operation.startswith(f"run cat '{tmp_path}")]
    assert cat.answer["stdout"] == "x" * 500 + "… 8500 characters more"
    json.dumps([one.to_json() for one in seen])
    with pytest.raises(AttributeError):
        _ = host.no_such_module


@pytest.mark.parametrize("asked", ["exists", "is_directory", "mode", "size", "sha256sum", "content"])
def test_a_file_that_we_may_not_look_at_is_not_taken_for_absent_or_changed(tmp_path: Path, asked: str) -> None:
    def look(path: Path) -> None:
        getattr(plain_host().file(str(path)), asked)

    said = r'"local://": "{}/a.log" cannot be read: permission denied\n  hint: let the user of the checks read it'
    look(Path(__file__))  # loads what is loaded on first use: the other user may have no right to read the libraries
    with closed(tmp_path / "closed") as folder, pytest.raises(Unmeasured, match=said.format(folder)):
        look(folder / "a.log")


def test_a_disk_below_a_folder_that_we_may_not_look_into_is_unmeasured(tmp_path: Path) -> None:
    async def look(path: Path) -> None:
        async with probing() as host:
            await host.disk(path)

    with (
        closed(tmp_path / "closed") as folder,
        pytest.raises(Unmeasured, match=f'"{folder}/x" cannot be read: permiss'),
    ):
        asyncio.run(look(folder / "x"))


def test_a_coroutine_check_asks_in_a_thread_and_never_blocks_the_others() -> None:
    notebook = Notebook("host/security::modes")

    async def look() -> None:
        async with probing() as host:
            with writing(notebook):
                with pytest.raises(UsageError, match=r"(?s)would block all checks.*await host\.ask"):
                    _ = host.file("/etc/passwd").mode
                assert await host.ask("mode of /etc/passwd", lambda machine: machine.file("/etc/passwd").mode) == 0o644
                await host.memory()
                begun = time.monotonic()
                await asyncio.gather(
                    *(host.ask(f"nap {n}", lambda machine: machine.run("sleep 0.3").rc) for n in range(5))
                )
                assert time.monotonic() - begun < 1.2

    asyncio.run(look())
    assert [one.operation for one in notebook.observations[:2]] == ["mode of /etc/passwd", "memory"]
    assert notebook.observations[1].answer["scope"] in ("machine", "container")


def test_a_command_that_does_not_end_is_killed_with_its_children(tmp_path: Path) -> None:
    host = plain_host(timeout=0.5)
    begun = time.monotonic()
    with pytest.raises(Unreachable, match='a command on "local://" did not end within 500 ms: '):
        host.run(f"sh -c 'sleep 61 & echo $! > {tmp_path}/child; sleep 62'")
    assert time.monotonic() - begun < 2
    child = int((tmp_path / "child").read_text())
    until(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE)


def test_a_command_may_leave_a_child_behind_ask_for_input_and_say_much(tmp_path: Path) -> None:
    host = plain_host(timeout=5)
    begun = time.monotonic()
    assert host.run(f"sleep 30 & echo $! > {tmp_path}/child").rc == 0
    assert time.monotonic() - begun < 2
    psutil.Process(int((tmp_path / "child").read_text())).kill()
    assert host.run("read answer; echo $?").stdout == "1\n"
    with pytest.raises(Unmeasured, match="answered more than 10 MiB"):
        host.run("cat /dev/zero")
    assert (
        len(execute(["/bin/sh", "-c", "head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2"], 5, "x", "y").stderr)
        == 3000000
    )


def test_unknown_backends_and_passwords_on_the_command_line_are_unmeasured() -> None:
    for uri, said in (
        ("telnet://h", "Unknown connection type 'telnet'"),
        ("ssh://user:pass-word@h", "list of processes"),
        ("paramiko://h", "paramiko"),
    ):
        with pytest.raises(Unmeasured, match=said) as raised:
            plain_host(uri).run("true")
        assert "pass-word" not in str(raised.value)


def test_a_machine_that_cannot_be_reached_by_ssh_is_unreachable() -> None:
    if not shutil.which("ssh"):
        pytest.skip("no ssh on this machine")
    with pytest.raises(Unreachable, match="Connection refused"):
        plain_host(f"ssh://127.0.0.1:{free_port()}").run("true")
    with pytest.raises(Unreachable, match="Could not resolve hostname"):
        plain_host("ssh://nowhere.invalid").run("true")
    with black_hole() as port:
        begun = time.monotonic()
        with pytest.raises(Unreachable, match=r"timed out|did not end"):
            plain_host(f"ssh://127.0.0.1:{port}", timeout=2).run("true")
        assert time.monotonic() - begun < 4


def test_a_container_that_is_not_there_is_no_answer() -> None:
    host = plain_host("docker://runbook-no-such-container")
    expected = Unreachable if shutil.which("docker") else Unmeasured
    with pytest.raises(expected):
        _ = host.file("/etc/passwd").exists  # testinfra alone says False


def test_sudo_that_asks_for_a_password_is_no_answer() -> None:
    if os.geteuid() == 0 or not shutil.which("sudo"):
        pytest.skip("sudo asks root for nothing")
    with pytest.raises(Unmeasured, match="sudo: "):
        plain_host(sudo=True, sudo_user="nobody").run("true")


def test_figures_by_ssh_are_those_of_the_machine(ssh: Ssh, tmp_path: Path) -> None:
    async def look() -> None:
        async with probing(ssh.uri, ssh_config=str(ssh.config)) as there, probing() as here:
            far, near = await there.memory(), await here.memory()
            assert (far.total, far.scope, far.swap_total) == (near.total, near.scope, near.swap_total)
            assert far.used == pytest.approx(near.used, rel=0.25)
            path = tmp_path / "a folder"
            path.mkdir(mode=0o751)
            disk = await there.disk(path)
            same = await here.disk(path)
            assert (disk.mount, disk.inodes) == (same.mount, same.inodes)
            assert disk.total == pytest.approx(same.total, abs=4096)
            assert disk.used_fraction == pytest.approx(same.used_fraction, abs=0.01)
            assert (await there.load()).cores == (await here.load()).cores
            assert await there.uptime() == pytest.approx(await here.uptime(), abs=5)
            assert {(p.address, p.port) for p in await there.ports()} >= {("127.0.0.1", ssh.port)}
            assert await there.file_mode(path) == 0o751
            with pytest.raises(Unmeasured, match="missing"):
                await there.disk(tmp_path / "missing")
            assert there.target == f"ssh://127.0.0.1:{ssh.port}"
            folder = there._folder
            assert using(folder)
        until(lambda: not using(folder))

    before = ssh.log.read_text().count("Accepted publickey")
    asyncio.run(look())
    assert ssh.log.read_text().count("Accepted publickey") - before <= 2  # one connection, not one for each command


def test_a_plain_check_by_ssh(ssh: Ssh, tmp_path: Path) -> None:
    host = plain_host(ssh.uri, ssh_config=str(ssh.config), timeout=4)
    assert host.file(str(tmp_path)).is_directory
    assert host.run("echo %s; exit 7", "a 'b'").stdout == "a 'b'\n"
    with pytest.raises(Unreachable, match=r"did not end within 4\.0 s: sleep 20"):
        host.run("sleep 20")
    asyncio.run(host.close())


def test_a_key_that_is_not_accepted_is_unmeasured(ssh: Ssh) -> None:
    config = ssh.config.with_name("stranger_config")
    config.write_text(ssh.config.read_text().replace("/user\n", "/stranger\n"))
    with pytest.raises(Unmeasured, match="Permission denied") as raised:
        plain_host(ssh.uri, ssh_config=str(config)).run("true")
    assert not isinstance(raised.value, Unreachable)


def test_figures_of_a_container() -> None:
    async def look(name: str) -> None:
        async with probing(f"docker://{name}") as host:
            memory = await host.memory()
            assert (memory.scope, memory.total) == ("container", 64 * 2**20)
            assert 0 < memory.used < memory.total
            assert (await host.disk("/")).mount == "/"
            assert (await host.load()).cores == os.cpu_count()
            assert await host.uptime() > 0
            assert await host.ports() == []
            clock = await host.clock(lambda: asyncio.sleep(0, datetime.now(UTC)))
            assert abs(clock.offset) <= clock.uncertainty < 2
            with pytest.raises(Unmeasured, match="neither apt nor dnf"):
                await host.packages_upgradable()
            assert await host.ask("passwd", lambda machine: machine.file("/etc/passwd").exists) is False
            await asyncio.to_thread(
                subprocess.run, ["docker", "stop", "-t", "0", name], capture_output=True, check=True
            )
            with pytest.raises(Unreachable, match="is not running"):
                await host.memory()

    with container("--memory", "64m") as name:
        asyncio.run(look(name))


def test_the_clock_is_compared_with_what_is_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fast() -> datetime:
        return datetime.now(UTC) - timedelta(seconds=90)

    async def look() -> None:
        async with probing() as host:
            with pytest.raises(Unmeasured, match=r"(?s)nothing tells whether.*hint: run chrony"):
                await host.clock_offset()
            seen = await host.clock(fast)
            assert seen.source == "reference"
            assert seen.offset == pytest.approx(90, abs=0.5)
        with ntp_server(ahead=3.0) as port:
            async with probing(ntp_server=f"127.0.0.1:{port}") as host:
                assert await host.clock_offset(fast) == pytest.approx(-3, abs=0.1)
        async with probing(ntp_server=f"127.0.0.1:{port}", timeout=1) as host:
            with pytest.raises(Unreachable, match="NTP server"):
                await host.clock_offset()

    monkeypatch.setenv("PATH", "/nowhere")  # whatever time service this machine has
    asyncio.run(look())


def test_updates_are_listed_only_from_fresh_lists() -> None:
    if not shutil.which("apt"):
        pytest.skip("no apt on this machine")

    async def look() -> None:
        async with probing(timeout=60) as host:
            try:
                seen = await host.packages_upgradable(max_age=10 * 365 * 86400)
            except Unmeasured as error:
                assert "has no package lists\n  hint: apt-get update" in str(error)
                return
            assert seen.lists_age > 0
            assert {one.name for one in seen.security} <= {one.name for one in seen.packages}
            with pytest.raises(Unmeasured, match=r"the package lists of .* old\n  hint: apt-get update"):
                await host.packages_upgradable(max_age=0)

    asyncio.run(look())


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    code = "import sys; from pytest_runbook.probes import find; [find(k) for k in ('host', 'postgresql', 'redis', 'nvml')]; "
    code += "print([m for m in ('testinfra', 'psutil', 'psycopg', 'redis', 'pynvml') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"

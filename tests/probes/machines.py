"""Machines for the tests of the host probe: this one by ssh, a container, an NTP server that is ahead."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.probes.databases import free_port, until

NTP_EPOCH = 2_208_988_800


@dataclass(frozen=True)
class Ssh:
    """This machine, through an sshd of its own."""

    port: int
    config: Path
    log: Path

    @property
    def uri(self) -> str:
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}"


@contextmanager
def ssh_server(folder: Path) -> Iterator[Ssh]:
    """An sshd that this user may enter with a key that `config` names; skips where there is none."""
    program = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:" + os.environ.get("PATH", ""))
    if not program or not shutil.which("ssh-keygen"):
        pytest.skip("no sshd on this machine")
    for key in ("host", "user", "stranger"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / key], check=True)
    shutil.copy(folder / "user.pub", folder / "authorized")
    port = free_port()
    settings = [f"ListenAddress 127.0.0.1:{port}", f"HostKey {folder}/host", f"AuthorizedKeysFile {folder}/authorized"]
    settings += [
        "StrictModes no",
        "UsePAM no",
        "PasswordAuthentication no",
        "PermitRootLogin yes",
        f"PidFile {folder}/pid",
    ]
    (folder / "sshd_config").write_text("\n".join(settings) + "\n")
    client = ["UserKnownHostsFile " + str(folder / "known"), "StrictHostKeyChecking accept-new", "IdentitiesOnly yes"]
    (folder / "config").write_text("\n".join([*client, f"IdentityFile {folder}/user"]) + "\n")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    log = folder / "log"
    server = subprocess.Popen(
        [program, "-D", "-E", str(log), "-f", str(folder / "sshd_config"), "-o", "LogLevel=VERBOSE"]
    )
    try:
        until(lambda: _listens(port))
        there = Ssh(port, folder / "config", log)
        enter = ["ssh", "-F", str(there.config), "-o", "BatchMode=yes", "-p", str(port), "127.0.0.1", "true"]
        if subprocess.run(enter, capture_output=True, check=False).returncode:
            pytest.skip(f'"{getpass.getuser()}" may not log in to this machine by ssh')
        yield there
    finally:
        server.terminate()
        server.wait(10)


def _listens(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port)):
        return True


@contextmanager
def container(*options: str) -> Iterator[str]:
    """The name of a container that runs BusyBox; skips where Docker or BusyBox is missing."""
    busybox = shutil.which("busybox")
    if not shutil.which("docker") or subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
        pytest.skip("no Docker on this machine")
    if not busybox or subprocess.run(["ldd", busybox], capture_output=True, check=False).returncode == 0:
        pytest.skip("no static busybox on this machine")
    image = name = f"runbook-test-{os.getpid()}-{free_port()}"
    with subprocess.Popen(["tar", "-cC", str(Path(busybox).parent), "busybox"], stdout=subprocess.PIPE) as tar:
        subprocess.run(
            ["docker", "import", "-c", "ENV PATH=/bin", "-", image], stdin=tar.stdout, check=True, capture_output=True
        )
    start = "/busybox mkdir -p /bin && /busybox --install -s /bin && exec /bin/sleep 1000"
    command = ["docker", "run", "-d", "--init=false", "--network", "none", *options, "--name", name, image]
    try:
        subprocess.run([*command, "/busybox", "sh", "-c", start], check=True, capture_output=True)
        until(
            lambda: (
                subprocess.run(
                    ["docker", "exec", name, "/bin/sh", "-c", "true"], capture_output=True, check=False
                ).returncode
                == 0
            )
        )
        yield name
    finally:
        subprocess.run(["docker", "rm", "-f", name], capture_output=True, check=False)
        subprocess.run(["docker", "rmi", "-f", image], capture_output=True, check=False)


@contextmanager
def ntp_server(ahead: float, *, stratum: int = 2) -> Iterator[int]:
    """The port of an NTP server whose clock is AHEAD seconds."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
        wire.bind(("127.0.0.1", 0))

        def stamp() -> bytes:
            now = time.time() + ahead + NTP_EPOCH
            return struct.pack("!II", int(now), int(now % 1 * 2**32))

        def answer() -> None:
            while True:
                asked, client = wire.recvfrom(512)
                if not asked:
                    return
                received = stamp()
                head = struct.pack("!BB14x", 0x24, stratum) + stamp()
                wire.sendto(head + asked[40:48] + received + stamp(), client)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        port = int(wire.getsockname()[1])
        yield port
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", ("127.0.0.1", port))
        thread.join(5)

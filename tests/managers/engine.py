"""A Docker engine of the tests' own, with images made of busybox, and compose in both of its forms."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pytest_runbook.managers import Completed
from pytest_runbook.managers.compose import Compose, ComposeSettings
from pytest_runbook.managers.docker import Docker, DockerSettings

from tests.managers.bench import FAST, NEEDS, PROGRAMS, VARIABLES, Bench, Recorder
from tests.managers.here import local

IMAGE = "shop/demo"
VERSIONS = ("1.4.2", "1.4.3")
PROJECT = "shop"


@dataclass(frozen=True)
class Engine:
    """Where it listens."""

    folder: Path

    @property
    def address(self) -> str:
        return f"unix://{self.folder}/sock"

    def docker(self, *words: str) -> Completed:
        """What the client answers."""
        return local(["docker", *words], 60, None, {"DOCKER_HOST": self.address})

    def empty(self) -> None:
        """Remove all containers."""
        if found := self.docker("ps", "--all", "--quiet").output.split():
            self.docker("rm", "--force", *found)


@contextmanager
def engine() -> Iterator[Engine]:
    """An engine without networks that keeps everything in a folder; skips where a container cannot be had."""
    busybox = shutil.which("busybox")
    if os.geteuid() != 0 or not shutil.which("dockerd") or not shutil.which("docker"):
        pytest.skip("an engine of its own needs root, and docker.io installed")
    if not busybox or subprocess.run(["ldd", busybox], capture_output=True, check=False).returncode == 0:
        pytest.skip("no static busybox on this machine")
    folder = Path(tempfile.mkdtemp(prefix="runbook-engine-"))  # a short path: a socket's has to be
    there = Engine(folder)
    places = {"data-root": "data", "exec-root": "exec", "pidfile": "pid"}
    command = [
        *("dockerd", "--storage-driver=vfs", f"--host={there.address}", "--config-file", str(folder / "none.json")),
        *("--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false"),
        *(f"--{option}={folder}/{name}" for option, name in places.items()),
    ]
    (folder / "none.json").write_text("{}")
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as daemon:
        try:
            _until_up(there, daemon)
            _images(there, Path(busybox))
            tried = there.docker("run", "--rm", "--network=none", f"{IMAGE}:{VERSIONS[0]}", "true")
            if tried.status:
                pytest.skip(f"no container runs here: {tried.said}")
            yield there
        finally:
            there.empty()
            daemon.terminate()
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
            _remove(folder)


def _remove(folder: Path) -> None:
    """An engine that has ended leaves the network namespace mounted of containers without a network."""
    for left in (folder / "exec" / "netns").glob("*"):
        subprocess.run(["umount", str(left)], capture_output=True, check=False)
    shutil.rmtree(folder, ignore_errors=True)


def _until_up(there: Engine, daemon: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 30
    while there.docker("version").status:
        if time.monotonic() > end or daemon.poll() is not None:
            pytest.skip(f"no engine starts here: {(there.folder / 'log').read_text(errors='replace')[-500:].strip()}")
        time.sleep(0.05)


def _images(there: Engine, busybox: Path) -> None:
    """One image, under a tag for each version; commands in it are links to busybox."""
    archive = there.folder / "image.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(busybox, "bin/busybox")
        for name in ("sh", "sleep", "true", "kill", "echo"):
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    for version in VERSIONS:
        change = f"LABEL version={version}"  # otherwise all tags would be one image
        made = there.docker(
            "import", "--change=ENV PATH=/bin", f"--change={change}", str(archive), f"{IMAGE}:{version}"
        )
        assert made.status == 0, made.said


@contextmanager
def docker(there: Engine, folder: Path) -> Iterator[Bench]:
    """Containers by their names; base, web and proxy can be made anew."""
    env = folder / "env"
    env.write_text(VARIABLES)

    def made(name: str, version: str) -> list[str]:
        policy = ["--restart=always"] if name == "flapping" else []
        return ["--network=none", f"--env=VERSION={version}", *policy, f"{IMAGE}:{version}", "sh", "-c", PROGRAMS[name]]

    run = Recorder()
    settings = DockerSettings(
        kind="docker",
        engine=there.address,
        env_file=str(env),
        run={name: tuple(made(name, "${VERSION}")) for name in ("base", "web", "proxy")},
        **FAST,
    )

    def reset() -> None:
        there.empty()
        env.write_text(VARIABLES)
        for name in PROGRAMS:
            created = there.docker("create", f"--name={name}", *made(name, VERSIONS[0]))
            assert created.status == 0, created.said

    yield Bench(Docker("engine", settings, run), run, env, reset)
    there.empty()


@contextmanager
def compose(there: Engine, folder: Path, client: tuple[str, ...]) -> Iterator[Bench]:
    """Services of a project, by one form of compose; skips where it is not."""
    if local([*client, "version"], 30).status:
        pytest.skip(f'no "{" ".join(client)}" on this machine')
    services: dict[str, Any] = {
        name: {
            "image": f"{IMAGE}:${{VERSION:?the tag to run}}" if name != "deaf" else f"{IMAGE}:{VERSIONS[0]}",
            "container_name": f"shop-{name}",
            "network_mode": "none",
            "env_file": ".env",
            "command": ["sh", "-c", program.replace("$", "$$")],
            **({"depends_on": [NEEDS[name]]} if name in NEEDS else {}),
            **({"restart": "always"} if name == "flapping" else {}),
        }
        for name, program in PROGRAMS.items()
    }
    file = folder / "compose.yml"
    file.write_text(
        json.dumps({"version": "3.9", "services": services} if client[-1] != "compose" else {"services": services})
    )
    run = Recorder()
    settings = ComposeSettings(
        kind="compose", engine=there.address, file=str(file), project=PROJECT, command=client, **FAST
    )

    def reset() -> None:
        there.empty()
        (folder / ".env").write_text(VARIABLES)

    yield Bench(Compose("production", settings, run), run, folder / ".env", reset)
    there.empty()

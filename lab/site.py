"""What every part of one lab knows: its folder, ports, secrets and what is broken on purpose; kept in `lab.json`."""

from __future__ import annotations

import fcntl
import hmac
import json
import os
import random
import re
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"
FIRST_PORT, LAST_PORT, BLOCK = 12_000, 22_000, 64
"""Ports below the kernel's ephemeral range: no outgoing connection can take one while a server of ours is stopped."""

LONGEST_SOCKET_PATH = 80
"""The kernel takes 107 characters; supervisord adds its pid, and the name needs room."""

UNQUOTABLE = re.compile(r"""["'\\$%\x00-\x1f]""")
"""What no quoting carries through every server's configuration."""


class LabError(Exception):
    """The lab cannot do what was asked; the message says what to do."""


@dataclass
class Broken:
    """One fault in place: when it was injected, and what undoes it, oldest first."""

    since: str
    undo: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    """What the checks are told meanwhile instead of their own settings, by dotted key."""


@dataclass
class State:
    """The content of `lab.json`."""

    ports: dict[str, int]
    key: str
    runtime: str = ""
    release: str = "1.4.2"
    broken: dict[str, Broken] = field(default_factory=dict)


class Site:
    """Paths, ports and secrets of the lab in one folder."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder).resolve()
        self._state: State | None = None

    def path(self, *parts: str) -> Path:
        """A path below the lab's folder."""
        return self.folder.joinpath(*parts)

    @property
    def home(self) -> Path:
        """What /opt/nightscan is on a real machine."""
        return self.path("nightscan")

    @property
    def exists(self) -> bool:
        """Whether a lab was ever started in this folder."""
        return self.path("lab.json").is_file()

    @property
    def state(self) -> State:
        """The state as last read or saved; `refresh` reads it again."""
        if self._state is None:
            self.refresh()
        assert self._state is not None
        return self._state

    @property
    def runtime(self) -> Path:
        """The folder of unix sockets; elsewhere when the lab's own path is too long for one."""
        return Path(self.state.runtime)

    def port(self, name: str) -> int:
        """The port that the server itself listens on."""
        return self.state.ports[name]

    def front(self, name: str) -> int:
        """The fault proxy's port in front of the server NAME: what checks and services are pointed at."""
        return self.state.ports[f"front-{name}"]

    def secret(self, name: str) -> str:
        """The lab's secret of that NAME, derived from its key: strong, and the same at every start."""
        return hmac.digest(self.state.key.encode(), name.encode(), "sha256").hex()[:48]

    def refresh(self) -> None:
        """Read `lab.json`."""
        try:
            content = json.loads(self.path("lab.json").read_text())
            content["broken"] = {name: Broken(**broken) for name, broken in content["broken"].items()}
            self._state = State(**content)
        except FileNotFoundError:
            raise LabError(f'no lab in "{self.folder}"\n  hint: python -m lab --dir {self.folder} up') from None
        except (ValueError, KeyError, TypeError) as error:
            raise LabError(
                f'cannot read "{self.path("lab.json")}": {error}\n  hint: python -m lab --dir {self.folder} down --purge'
            ) from error

    def save(self) -> None:
        """Write `lab.json`, whole or not at all, readable by its owner only."""
        write_private(self.path("lab.json"), json.dumps(asdict(self.state), indent=2) + "\n")

    def create(self, ports: dict[str, int]) -> None:
        """Begin a lab in this folder, with new secrets."""
        if UNQUOTABLE.search(str(self.folder)):
            raise LabError(
                f'the servers\' configurations cannot hold the path "{self.folder}"\n  hint: choose another --dir'
            )
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._state = State(ports=ports, key=secrets.token_hex(32))

    def make_runtime(self) -> None:
        """Make the folder of unix sockets, anew."""
        if self.state.runtime:
            shutil.rmtree(self.state.runtime, ignore_errors=True)
        inside = self.path("run")
        if len(os.fsencode(inside)) <= LONGEST_SOCKET_PATH:
            inside.mkdir(mode=0o700, exist_ok=True)
            self.state.runtime = str(inside)
        else:
            self.state.runtime = tempfile.mkdtemp(prefix="lab-", dir="/tmp")

    @contextmanager
    def lock(self) -> Iterator[None]:
        """One command at a time changes a lab."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self.path(".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


@contextmanager
def choose_ports(names: Sequence[str], last: dict[str, int]) -> Iterator[dict[str, int]]:
    """Free ports for NAMES, the LAST ones if they still are; no other lab gets them while this context is open."""
    blocks = list(range(FIRST_PORT, LAST_PORT, BLOCK))
    random.shuffle(blocks)
    for first in [*([min(last.values())] if last else []), *blocks]:
        ports = {name: first + offset for offset, name in enumerate(names)}
        with socket.socket(socket.AF_UNIX) as claim:
            try:
                # An abstract name is held exactly as long as this process lives, and leaves nothing behind.
                claim.bind(f"\0nightscan-lab-ports-{first}")
            except OSError:
                continue
            # The S3 server takes one port 10,000 above another, whatever it is told.
            if all(_is_free(port) and _is_free(port + 10_000) for port in ports.values()):
                yield ports
                return
    raise LabError(f"no {BLOCK} free ports in a row between {FIRST_PORT} and {LAST_PORT} on {HOST}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def write_private(path: Path, content: str | bytes, mode: int = 0o600) -> None:
    """Write CONTENT to PATH, whole or not at all; never readable by more than MODE says, not for an instant."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
    Path(name).chmod(mode)
    Path(name).replace(path)

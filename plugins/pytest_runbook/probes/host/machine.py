"""A machine that commands run on, through any backend of testinfra: in bounded time and space, and never misread.

testinfra waits for a command for ever; and where ssh, docker or sudo themselves fail, it takes what was asked for as
absent: `host.file("/etc/passwd").exists` would be False on a container that is stopped, and on a folder that is closed to us.
"""

from __future__ import annotations

import os
import re
import selectors
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from pytest_runbook import clock
from pytest_runbook.errors import Unmeasured, Unreachable

Run: TypeAlias = Callable[..., Any]
"""testinfra's `run(command, *args)`; answers its CommandResult."""
MOST = 10 * 2**20
"""Bytes of output that one command may have."""
DOWN = re.compile(
    r"connection (refused|reset|timed out|closed)|no route to host|network is unreachable|could not resolve hostname"
    r"|operation timed out|kex_exchange_identification|cannot connect to the docker daemon|no such container"
    r"|is not running|is paused|broken pipe",
    re.IGNORECASE,
)
DOCKER = re.compile(r"^(Error( response from daemon)?:|Cannot connect to the Docker|OCI runtime|Got permission denied)")
FILE = re.compile(r"(test -[a-zA-Z]|stat -L?c %%\w|cat --|readlink -f|realpath|ls -1 -q --|(md5|sha256)sum) %s")
"""The commands of testinfra's `host.file(…)`."""
ABSENT = re.compile(r"sh: (\S+: )*?(ssh|sshpass|docker|podman|kubectl): (command )?not found")


@dataclass(frozen=True, slots=True)
class Finished:
    """A local command that ended."""

    status: int
    stdout: bytes
    stderr: bytes


def connect(uri: str, target: str, timeout: float, watch: Callable[[Run], Run], options: dict[str, Any]) -> Any:
    """testinfra's host of URI with OPTIONS for its backend, every command at most TIMEOUT seconds and through WATCH.

    TARGET names the machine to people. Raises Unmeasured when there is no such backend.
    """
    from testinfra.backend import get_backend  # late: costs start-up, and only who asks for this machine pays
    from testinfra.host import Host

    if uri.startswith(("ssh:", "safe-ssh:")):
        if urlsplit(uri).password:
            raise Unmeasured(
                f'"{target}" has its password in the URI, where ssh would show it in the list of processes\n'
                "  hint: use a key, an agent, or paramiko://"
            )
        options = {**options, "ssh_extra_args": "-o BatchMode=yes"}  # never ask a person
    try:
        backend: Any = get_backend(uri, **options)
    except (RuntimeError, ImportError, TypeError) as error:
        raise Unmeasured(
            f'"{target}" cannot be used: {error}\n  hint: local://, ssh://USER@HOST or docker://NAME'
        ) from None
    # Of this one object, not of testinfra: its own fixture and other hosts stay as they are.
    backend.run_local = partial(_local, backend, target, timeout)
    backend.run = watch(partial(_ran, backend.run, target))
    backend.decode = lambda data: data.decode(
        "utf-8", "replace"
    )  # otherwise it asks the machine, with Python, for its own
    host = Host(backend)
    backend.set_host(host)
    return host


def _ran(run: Run, target: str, command: str, *args: str, **options: Any) -> Any:
    """What RUN answers; what a backend without commands of ours (paramiko, winrm) raises comes in our words."""
    try:
        done = run(command, *args, **options)
    except OSError as error:
        raise Unreachable(f'"{target}" cannot be reached: {error}') from None
    except ImportError as error:
        raise Unmeasured(f'"{target}" cannot be used: {error}\n  hint: install the backend of this URI') from None
    if FILE.match(command) and (done.rc or done.stderr) and "permission denied" in _reason(run, command, args, done):
        raise Unmeasured(
            f'"{target}": "{args[-1]}" cannot be read: permission denied\n'
            "  hint: let the user of the checks read it, or set sudo of this probe"
        )
    return done


def _reason(run: Run, command: str, args: tuple[str, ...], done: Any) -> str:
    """What kept COMMAND from seeing a file, in lower case; `test` does not say, and is asked about in another way."""
    if command.startswith("test "):
        done = run("LC_ALL=C ls -d -- %s", args[-1])
    return str(done.stderr).lower()


def _local(backend: Any, target: str, timeout: float, command: str, *args: str) -> Any:
    """In place of testinfra's `run_local`: the client of the backend (ssh, docker) or, on this machine, the command."""
    line = backend.quote(command, *args)
    # The last argument of ssh and docker is the command that was asked for; the rest is how to get there.
    done = execute(["/bin/sh", "-c", line], timeout, target, args[-1] if args else line)
    said = done.stderr.decode("utf-8", "replace").strip()
    kind = backend.get_connection_type()
    if (
        (kind in ("ssh", "safe-ssh") and done.status == 255)
        or (kind in ("docker", "podman") and done.status != 0 and DOCKER.match(said))
        or (kind != "local" and done.status == 127 and ABSENT.search(said))
        or (backend.sudo and done.status != 0 and said.startswith("sudo: "))
    ):
        text = said.splitlines()[-1] if said else f"{kind} ended with status {done.status}"
        raise (Unreachable if DOWN.search(said) else Unmeasured)(f'"{target}": {text}')
    return backend.result(done.status, line.encode(), done.stdout, done.stderr)


def execute(command: list[str], timeout: float, target: str, name: str) -> Finished:
    """Run COMMAND here, in a process group of its own that is killed after TIMEOUT seconds or too much output.

    TARGET and NAME are the machine's and the command's names for people.
    Returns when COMMAND ends, also when what it started in the background goes on.
    """
    with _started(command) as process, selectors.DefaultSelector() as selector:
        output: dict[Any, bytearray] = {process.stdout: bytearray(), process.stderr: bytearray()}
        for pipe in output:
            selector.register(pipe, selectors.EVENT_READ)
        deadline = clock.monotonic() + timeout
        while selector.get_map():
            left = deadline - clock.monotonic()
            if left <= 0:
                raise Unreachable(f'a command on "{target}" did not end within {clock.duration(timeout)}: {name[:200]}')
            ready = selector.select(min(left, 0.1))
            if not ready and process.poll() is not None:
                break
            for key, _ in ready:
                _read(key.fileobj, output, selector, target)
        status = process.wait(max(deadline - clock.monotonic(), 0.1))
        return Finished(status, bytes(output[process.stdout]), bytes(output[process.stderr]))


def _read(pipe: Any, output: dict[Any, bytearray], selector: selectors.BaseSelector, target: str) -> None:
    data = os.read(pipe.fileno(), 65536)
    if not data:
        selector.unregister(pipe)
    output[pipe] += data
    if sum(map(len, output.values())) > MOST:
        raise Unmeasured(f'a command on "{target}" answered more than {MOST // 2**20} MiB')


@contextmanager
def _started(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    try:
        yield process
    except BaseException:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            process.wait(1)  # one that hangs in the kernel is left to it
        raise
    finally:
        for pipe in (process.stdout, process.stderr):
            if pipe:
                pipe.close()

"""Runs a command on this machine: bounded in time and in output, and ended with everything that it started."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import IO

import psutil

from pytest_runbook import clock
from pytest_runbook.managers import Completed

MOST = 2**20
"""Bytes that are kept of each stream: the last ones, since a log's end tells more than its start."""
LINGER = 0.2
"""Seconds without output after its end for which what it left in the background is listened to."""


def local(
    argv: Sequence[str],
    timeout: float,
    input: str | None = None,  # noqa: A002 - as subprocess calls it
    environment: Mapping[str, str] | None = None,
) -> Completed:
    """ARGV in a process group of its own, killed with its whole family after TIMEOUT seconds."""
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL if input is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
    except OSError as error:
        return Completed(127, "", f"{argv[0]}: {(error.strerror or str(error)).lower()}")
    output, errors = _Tail(), _Tail()
    try:
        in_time = _listen(process, (input or "").encode(), (output, errors), clock.monotonic() + timeout)
    except BaseException:
        kill(process.pid)
        raise
    finally:
        if process.poll() is None:
            kill(process.pid)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe:
                with suppress(BrokenPipeError):
                    pipe.close()
    truncated = output.truncated or errors.truncated
    return Completed(_status(process), output.text(), errors.text(), not in_time, truncated)


def _status(process: subprocess.Popen[bytes]) -> int:
    try:
        status = process.wait(5)
    except subprocess.TimeoutExpired:  # killed, and it hangs in the kernel, which nobody can wait for
        return 128 + signal.SIGKILL
    return 128 - status if status < 0 else status


def kill(pid: int) -> None:
    """Kill PID, its descendants, and what else is in its process group.

    They are stopped before they are killed: a process that still runs could start another meanwhile.
    """
    found: set[psutil.Process] = set()
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        while new := {parent, *parent.children(recursive=True), *_group(pid)} - found:
            found |= new
            for process in new:
                with suppress(psutil.Error):
                    process.suspend()
    for process in found:
        with suppress(psutil.Error):
            process.kill()


def _group(pid: int) -> Iterable[psutil.Process]:
    for process in psutil.process_iter():
        with suppress(ProcessLookupError, PermissionError):
            if os.getpgid(process.pid) == pid:
                yield process


class _Tail:
    """The last bytes of a stream."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.truncated = False

    def add(self, data: bytes) -> None:
        self.data += data
        if len(self.data) > 2 * MOST:
            self._cut()

    def text(self) -> str:
        self._cut()
        return self.data.decode("utf-8", "replace")

    def _cut(self) -> None:
        if len(self.data) > MOST:
            del self.data[:-MOST]
            self.truncated = True


def _listen(process: subprocess.Popen[bytes], message: bytes, tails: tuple[_Tail, _Tail], deadline: float) -> bool:
    """Give PROCESS its MESSAGE and take what it says until it ends; False when the DEADLINE comes first."""
    left = memoryview(message)
    with selectors.DefaultSelector() as selector:
        for pipe, tail in zip((process.stdout, process.stderr), tails, strict=True):
            assert pipe is not None
            selector.register(pipe, selectors.EVENT_READ, tail)
        if process.stdin:
            os.set_blocking(process.stdin.fileno(), False)
            selector.register(process.stdin, selectors.EVENT_WRITE)
        while selector.get_map():
            patience = deadline - clock.monotonic()
            if patience <= 0:
                return False
            ready = selector.select(min(patience, LINGER))
            if not ready and process.poll() is not None:
                return True  # what still holds the pipes was started to stay
            for key, _ in ready:
                if key.fileobj is process.stdin:
                    left = _give(process.stdin, left, selector)
                elif data := os.read(key.fd, 65536):
                    key.data.add(data)
                else:
                    selector.unregister(key.fileobj)
    with suppress(subprocess.TimeoutExpired):
        process.wait(max(deadline - clock.monotonic(), 0))
        return True
    return False


def _give(pipe: IO[bytes] | None, left: memoryview, selector: selectors.BaseSelector) -> memoryview:
    assert pipe is not None
    try:
        left = left[os.write(pipe.fileno(), left[:65536]) :] if left else left
    except BrokenPipeError:  # it does not want to hear all of it
        left = left[:0]
    if not left:
        selector.unregister(pipe)
        with suppress(BrokenPipeError):
            pipe.close()
    return left

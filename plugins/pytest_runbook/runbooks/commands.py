"""Programs that a step starts: followed while they run, in bounded time and space, their exit status told apart from failures."""

from __future__ import annotations

import errno
import os
import selectors
import shlex
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pytest_runbook import clock
from pytest_runbook.errors import StepFailed
from pytest_runbook.probes._plain import shortened
from pytest_runbook.runbooks import family
from pytest_runbook.runbooks.output import Capped

ANSWERED = 1_000_000
"""Characters of standard output that a runbook gets; the middle of more is left out."""
SAID = 2000
"""Characters of the error output that are kept to say why a program failed."""
NAMED = 200
"""Characters of a command in a message."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A program that ended."""

    name: str
    """The command, for people."""
    status: int
    stdout: str
    stderr: str
    """Its end."""

    @property
    def last(self) -> str:
        """The last line that tells why."""
        return next((line for text in (self.stderr, self.stdout) for line in reversed(_lines(text))), "")


@dataclass(frozen=True, slots=True)
class Program:
    """What to start, and how."""

    argv: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    """Where it starts."""
    given: bytes | None = None
    """Its standard input; None: empty."""
    alive: bool = False
    """Whether standard input stays open after what is given, until the program ends: a life line for the far side."""
    name: str = ""
    """The command for people, when it is not ARGV."""

    def __str__(self) -> str:
        return shortened(self.name or shlex.join(self.argv), NAMED)


def follow(program: Program, timeout: float, *, show: bool = True) -> Finished:
    """Run PROGRAM to its end; what it says is passed on (SHOW) as it comes.

    What it started in the background goes on and is not waited for. Raises StepFailed when it cannot be started, and when
    it does not end within TIMEOUT seconds; it is then gone with all that it started.
    """
    deadline = clock.monotonic() + timeout
    stdout, stderr = Capped(ANSWERED), Capped(SAID)
    with _started(program) as process, selectors.DefaultSelector() as selector:
        assert process.stdout
        assert process.stderr
        selector.register(process.stdout, selectors.EVENT_READ, stdout)
        selector.register(process.stderr, selectors.EVENT_READ, stderr)
        while selector.get_map():
            left = deadline - clock.monotonic()
            if left <= 0:
                raise _late(program, timeout)
            ready = selector.select(min(left, 0.1))
            if not ready and process.poll() is not None:
                break
            for key, _ in ready:
                _take(key, selector, show)
        try:
            status = process.wait(max(deadline - clock.monotonic(), 0.0))
        except subprocess.TimeoutExpired:
            raise _late(program, timeout) from None
        return Finished(str(program), status, stdout.text(), stderr.text())


def _late(program: Program, timeout: float) -> StepFailed:
    return StepFailed(f'"{program}" did not end within {clock.duration(timeout)}')


def _take(key: selectors.SelectorKey, selector: selectors.BaseSelector, show: bool) -> None:
    data = os.read(key.fd, 65536)
    if not data:
        selector.unregister(key.fileobj)
        return
    key.data.add(data)
    while show and data:
        data = data[os.write(1, data) :]


@contextmanager
def _started(program: Program) -> Iterator[subprocess.Popen[bytes]]:
    try:
        process = subprocess.Popen(
            program.argv,
            stdin=subprocess.DEVNULL if program.given is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=program.environment,
            cwd=program.folder,
            start_new_session=True,
        )
    except OSError as error:
        raise _not_started(program, error) from None
    if program.given is not None:
        threading.Thread(target=_feed, args=(process, program), daemon=True).start()
    try:
        yield process
    except StepFailed:
        _stop(process, program)
        raise
    finally:
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe:
                with suppress(OSError, ValueError):
                    pipe.close()


def _feed(process: subprocess.Popen[bytes], program: Program) -> None:
    assert process.stdin
    with suppress(OSError, ValueError):  # who does not read to the end says so by its exit status
        process.stdin.write(program.given or b"")
        process.stdin.flush()
        if not program.alive:
            process.stdin.close()


def _stop(process: subprocess.Popen[bytes], program: Program) -> None:
    """End PROCESS and what it started; the far side ends by itself when its life line is cut."""
    if process.stdin:
        with suppress(OSError, ValueError):
            process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            process.wait(family.GRACE)
    mark = program.environment.get(family.MARK)

    def rest() -> set[object]:
        process.poll()
        return {*family.descendants(process.pid), *(family.marked(mark) if mark else ())}

    family.end(rest)  # type: ignore[arg-type]


def _not_started(program: Program, error: OSError) -> StepFailed:
    first = program.argv[0]
    if not program.folder.is_dir():
        return StepFailed(f'the folder "{program.folder}" to start "{first}" in is not there')
    if error.errno == errno.ENOENT and not Path(first).is_file():
        return StepFailed(
            f'there is no program "{first}" on this machine\n  hint: install it, or name it with its path'
        )
    if error.errno == errno.ENOENT:
        return StepFailed(f'"{first}" needs an interpreter that is not there: {first_line(Path(first))}')
    if error.errno == errno.ENOEXEC:
        return StepFailed(f'"{first}" does not say what runs it\n  hint: begin it with a line such as #!/bin/sh')
    return StepFailed(f'"{first}" cannot be started: {(error.strerror or str(error)).lower()}')


def first_line(path: Path) -> str:
    """The first line of PATH, for a message."""
    try:
        with path.open("rb") as file:
            return file.readline(NAMED).decode("utf-8", "replace").strip()
    except OSError as error:
        return str(error.strerror)


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]

"""Programs that a step starts: followed while they run, in bounded time and space, and gone when they are late."""

from __future__ import annotations

import errno
import os
import secrets
import selectors
import shlex
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_runbook import clock
from pytest_runbook.errors import NoProgram, StepFailed
from pytest_runbook.runbooks import family
from pytest_runbook.runbooks.output import Capped

ANSWERED = 1_000_000
"""Characters of each stream that a runbook gets; the middle of more is left out."""
LINE = 2000
"""Characters up to which the last line that a program said tells why it failed; a longer one is data."""
LINGER = 0.2
"""Seconds after its end for which what it left in the background is listened to; of a far side, seconds of silence."""


@dataclass(frozen=True, slots=True)
class Program:
    """What to start, and how."""

    argv: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    """Where it starts."""
    given: bytes | None = None
    """Its standard input; None: empty."""
    mark: bytes = b""
    """Of one that carries another machine's: both streams begin with it in a line; in the errors it comes again before the
    exit status there. What came before it was said on the way. Standard input then stays open as the life line.
    """
    name: str = ""
    """The command for people, when it is not ARGV."""
    executable: Path | None = None
    """The file to start, when it is not that of the name which ARGV begins with: some programs do what they are called."""

    def __str__(self) -> str:
        return self.name or shlex.join(self.argv)


@dataclass(frozen=True, slots=True)
class Finished:
    """A program that ended, or was ended when it was late."""

    name: str
    """The command, for people."""
    status: int | None
    """None: late; or the way to the other machine broke, so nobody knows."""
    stdout: str
    stderr: str
    late: bool = False
    whole: bool = True
    """Whether nothing of what it said is left out."""

    @property
    def last(self) -> str:
        """The last line that it said, errors first; empty when that is no sentence."""
        lines = [line.strip() for text in (self.stdout, self.stderr) for line in text.splitlines() if line.strip()]
        return lines[-1] if lines and len(lines[-1]) <= LINE else ""


def follow(
    program: Program, timeout: float, *, show: bool = True, take: Callable[[bytes], object] | None = None
) -> Finished:
    """Run PROGRAM to its end, TIMEOUT seconds at most; with SHOW, what it says is passed on as it comes.

    All of its standard output is given to TAKE, if that is there, and is not kept.
    What it started in the background goes on and is not waited for; when it is late, nothing of it goes on. Raises
    StepFailed when it cannot be started.
    """
    program = replace(program, environment=_marked(program.environment))
    with _started(program) as process:
        stdout, stderr = _Ear(show, program.mark, take), _Ear(show, program.mark)
        try:
            in_time = _listen(process, stdout, stderr, clock.monotonic() + timeout)
        except BaseException:
            _stop(process, program)
            raise
        if not in_time:
            _stop(process, program)
        elif process.returncode is None:  # the far side is done; what it left in the background keeps the way open
            process.kill()
            process.wait()
        status = (stderr.status if program.mark else process.returncode) if in_time else None
        whole = stdout.whole and stderr.whole
        return Finished(str(program), status, stdout.close(), stderr.close(), not in_time, whole)


def _marked(environment: Mapping[str, str]) -> Mapping[str, str]:
    """ENVIRONMENT with a mark of its own, which begins with the one there: with it ends one program, not who started it."""
    mark = environment.get(family.MARK)
    return {**environment, family.MARK: f"{mark}.{secrets.token_hex(4)}"} if mark else environment


class _Ear:
    """Listens to one stream."""

    def __init__(self, show: bool, mark: bytes, take: Callable[[bytes], object] | None = None) -> None:
        self.status: int | None = None
        """What comes after the second mark."""
        self._show, self._begin, self._end = show, mark and mark + b"\n", mark and mark + b" "
        self._kept, self._held = Capped(ANSWERED), b""
        self._add = take or self._kept.add

    def hear(self, data: bytes) -> None:
        """Take DATA; what may belong to a mark is held back."""
        data, self._held = self._held + data, b""
        if self._begin:
            way, found, data = data.partition(self._begin)
            if not found:
                self._held = way[-ANSWERED:]
                return
            self._begin = b""
        if self._end:
            before, found, status = data.partition(self._end)
            if found and status.endswith(b"\n"):
                self.status, data = int(status), before
            else:
                cut = len(before) if found else len(data) - _overlap(data, self._end)
                data, self._held = data[:cut], data[cut:]
        self._take(data)

    @property
    def whole(self) -> bool:
        """Whether `close` answers all that was heard."""
        return self._kept.whole

    def close(self) -> str:
        """All that was heard; what was held back in vain belongs to it."""
        if self.status is None:
            self._take(self._held)
        return self._kept.text()

    def _take(self, data: bytes) -> None:
        self._add(data)
        while self._show and data:
            data = data[os.write(1, data) :]


def _overlap(data: bytes, mark: bytes) -> int:
    """How many bytes at the end of DATA could be the beginning of MARK."""
    return next((size for size in range(min(len(data), len(mark)), 0, -1) if data.endswith(mark[:size])), 0)


def _listen(process: subprocess.Popen[bytes], stdout: _Ear, stderr: _Ear, deadline: float) -> bool:
    """Listen until PROCESS, or what it carries, has ended; False when the DEADLINE comes first."""
    with selectors.DefaultSelector() as selector:
        for pipe, ear in ((process.stdout, stdout), (process.stderr, stderr)):
            assert pipe is not None
            selector.register(pipe, selectors.EVENT_READ, ear)
        over: float | None = None
        while selector.get_map():
            if over is None and process.poll() is not None:
                over = clock.monotonic() + LINGER  # what it said itself is in the pipes, which one more look empties
            left = deadline - clock.monotonic()
            if left <= 0 and over is None:
                return False
            ready = selector.select(min(max(left, 0.0), LINGER))
            if not ready and (over or process.poll() is not None or stderr.status is not None):
                return True
            for key, _ in ready:
                data = os.read(key.fd, 65536)
                if data:
                    key.data.hear(data)
                else:
                    selector.unregister(key.fileobj)
            if over and clock.monotonic() > over:
                return True
    with suppress(subprocess.TimeoutExpired):
        process.wait(max(deadline - clock.monotonic(), 0.0))
        return True
    return False


@contextmanager
def _started(program: Program) -> Iterator[subprocess.Popen[bytes]]:
    try:
        process = subprocess.Popen(
            program.argv,
            executable=program.executable,
            stdin=subprocess.DEVNULL if program.given is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,  # closing one that another thread writes to must not wait for that thread
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
    finally:
        _close(process.stdin, process.stdout, process.stderr)


def _feed(process: subprocess.Popen[bytes], program: Program) -> None:
    assert process.stdin
    left = memoryview(program.given or b"")
    with suppress(OSError, ValueError):  # who does not read to the end says so by its exit status
        while left:
            left = left[process.stdin.write(left) :]
        if not program.mark:
            process.stdin.close()


def _close(*pipes: object) -> None:
    for pipe in pipes:
        if pipe:
            with suppress(OSError, ValueError):
                pipe.close()  # type: ignore[attr-defined]


def _stop(process: subprocess.Popen[bytes], program: Program) -> None:
    """End PROCESS and what it started; the far side ends its own when the life line is cut, and is waited for."""
    _close(process.stdin)
    if program.mark:
        with suppress(subprocess.TimeoutExpired):
            process.wait(family.GRACE + family.LAST)
    family.end(lambda: family.of(process, program.environment.get(family.MARK)))


def _not_started(program: Program, error: OSError) -> StepFailed:
    first = program.argv[0]
    if not program.folder.is_dir():
        return StepFailed(f'the folder "{program.folder}" to start "{first}" in is not there')
    match error.errno:
        case errno.ENOENT if "/" in first and Path(first).is_file():
            return StepFailed(f'"{first}" needs an interpreter that is not there: {_first_line(Path(first))}')
        case errno.ENOENT:
            kind = StepFailed if program.mark else NoProgram  # without ssh nobody knows what is there
            return kind(f'there is no program "{first}"\n  hint: install it, or correct its name or PATH')
        case errno.EACCES if "/" in first and noexec(first):
            why = f'"{first}" lies on a disk that is mounted with noexec: nothing there can be started'
            return StepFailed(
                f"{why}\n  hint: the runbooks of a run lie, with their scripts, in the folder of its reports: --report=DIR"
            )
        case errno.ENOEXEC:
            return StepFailed(f'"{first}" does not say what runs it\n  hint: begin it with a line such as #!/bin/sh')
        case _:
            return StepFailed(f'"{first}" cannot be started: {(error.strerror or str(error)).lower()}')


def noexec(path: str | os.PathLike[str]) -> bool:
    """Whether the disk of PATH is seen to let no program run."""
    try:
        return bool(os.statvfs(path).f_flag & os.ST_NOEXEC)
    except OSError:
        return False


def _first_line(path: Path) -> str:
    with path.open("rb") as file:
        return file.readline(200).decode("utf-8", "replace").strip()

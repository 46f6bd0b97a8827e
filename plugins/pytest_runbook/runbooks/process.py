"""Performs a step in a process of its own, in bounded time and space, and leaves nothing of it running when it is stopped.

The process reads its order from its standard input, which then stays open: the life line. When the deadline is over, on
Ctrl-C, and when this process dies, in whatever way, the line is cut and the process ends itself with all that it started.
"""

from __future__ import annotations

import json
import os
import pickle
import secrets
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from pytest_runbook import clock
from pytest_runbook.errors import RunbookError
from pytest_runbook.evidence.redaction import Redactor
from pytest_runbook.model import StepOutcome
from pytest_runbook.runbooks import environment, family
from pytest_runbook.runbooks.order import BEATS, SILENCE, Errand, Order, Performed
from pytest_runbook.runbooks.output import Capped

if TYPE_CHECKING:
    from pytest_runbook.history import Lock

__all__ = ["Order", "Performed", "perform"]

CHILD = "pytest_runbook.runbooks.child"
CHUNK = 65536
PATIENCE = 5.0
"""Seconds that the process gets to end after it said what became of the step."""
DRAINED = 64
"""Chunks that are read after its end at most: who writes on and on is not followed."""
REASON = 2000
"""Characters that are kept of the reason why a step is not done."""


def perform(
    order: Order,
    *,
    timeout: float,
    redactor: Redactor,
    silence: float = SILENCE,
    on_start: Callable[[int], object] | None = None,
) -> Performed:
    """Perform ORDER, TIMEOUT seconds at most.

    When this process is stopped for SILENCE seconds, the step ends: by then another run may act in its place.

    ON_START is called with the process's id before it knows what to do: what it raises keeps the step from beginning. What
    runs in the background when the step ends by itself goes on, as a server that was started has to; after a time-out, a
    kill of this process or KeyboardInterrupt nothing does.
    """
    begun = clock.monotonic()
    errand = Errand(order, timeout, f"{order.situation.run}.{secrets.token_hex(16)}", silence)
    try:
        child = _Child(errand)
    except OSError as error:
        why = f'its process cannot be started in "{order.root}": {(error.strerror or str(error)).lower()}'
        return Performed(StepOutcome.FAILED, why=why)
    with child:
        if on_start:
            on_start(child.process.pid)
        in_time = child.follow(begun + timeout)
    output, duration = child.said.text(redactor.text), clock.monotonic() - begun
    if not in_time:
        why = f"it was killed after {clock.duration(timeout)}, with all that it had started"
        return Performed(StepOutcome.TIMED_OUT, None, output, duration, why)
    outcome, value, why = child.told
    return Performed(outcome, value, output, duration, _shortened(redactor.text(why)))


def over(run: str) -> bool:
    """Wait until no step of RUN, which died, works on this machine any more; False when one does not end.

    What a step left behind on purpose, as a server that was started, is no step.
    """
    end = clock.monotonic() + family.GRACE + family.LAST
    while any(CHILD in family.command(one) for one in family.marked(f"{run}.")):
        if clock.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def insist_over(locks: Iterable[Lock]) -> None:
    """Raise RunbookError when a step of a run works on that had one of LOCKS, and died; whoever takes that next knows of it."""
    for lock in locks:
        if lock.after and not over(lock.after):
            lock.leave()
            raise RunbookError(f"a step of the run {lock.after}, which died, does not end")


class _Child:
    """The process of a step, as this one sees it; as a context manager it is gone in the end, and read to its end."""

    def __init__(self, errand: Errand) -> None:
        """Start it; ERRAND is what it is to be told. Raises OSError."""
        self.said = Capped()
        self._mark = errand.mark
        self._silence, self._said_alive = errand.silence, clock.boottime()
        self._beat = errand.silence / BEATS
        self._errand = pickle.dumps(errand)
        self._answer = bytearray()
        self._answers, theirs = os.pipe()
        python_path = os.pathsep.join(filter(None, sys.path))
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", CHILD, str(theirs)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=errand.order.root,
                env={**environment.plain(os.environ), "PYTHONPATH": python_path, family.MARK: errand.mark},
                pass_fds=(theirs,),
                start_new_session=True,
            )
        except BaseException:
            os.close(self._answers)
            raise
        finally:
            os.close(theirs)
        assert self.process.stdin
        assert self.process.stdout
        self._line, self._output = self.process.stdin, self.process.stdout
        for pipe in (self._line, self._output):
            os.set_blocking(pipe.fileno(), False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self._end()
            self._drain()
        finally:
            for pipe in (self._line, self._output):
                with suppress(OSError):
                    pipe.close()
            os.close(self._answers)

    @property
    def told(self) -> tuple[StepOutcome, bool | None, str]:
        """What it says became of the step: outcome, value and why."""
        try:
            told = json.loads(self._answer.partition(b"\n")[0])
            return StepOutcome(told["outcome"]), told["value"], told["why"]
        except (ValueError, KeyError, TypeError):
            return StepOutcome.FAILED, None, "its process was killed from outside before it could say what became of it"

    def follow(self, deadline: float) -> bool:
        """Tell it its errand, and read until it answers or nobody is left to; False when the DEADLINE comes first."""
        left = memoryview(len(self._errand).to_bytes(8, "big") + self._errand)
        with selectors.DefaultSelector() as selector:
            selector.register(self._line, selectors.EVENT_WRITE)
            selector.register(self._answers, selectors.EVENT_READ)
            selector.register(self._output, selectors.EVENT_READ)
            while (seconds := deadline - clock.monotonic()) > 0:
                if not left:
                    self._say_alive()
                for key, _ in selector.select(min(seconds, self._beat)):
                    if key.fileobj is self._line:
                        left = self._tell(left)
                        if not left:
                            selector.unregister(self._line)
                    elif key.fd == self._answers:
                        if self._hear():
                            self._leave()
                            return True
                    elif data := os.read(key.fd, CHUNK):
                        self.said.add(data)
                    else:
                        selector.unregister(self._output)
        return False

    def _tell(self, left: memoryview) -> memoryview:
        try:
            return left[os.write(self._line.fileno(), left[:CHUNK]) :]
        except BrokenPipeError:  # it died: that no answer comes says so
            return left[:0]

    def _say_alive(self) -> None:
        """Write to the life line that this process is not stopped, a beat after the last time; no more when it was."""
        if self._beat <= clock.boottime() - self._said_alive < self._silence:
            self._said_alive = clock.boottime()
            with suppress(BlockingIOError, BrokenPipeError):
                os.write(self._line.fileno(), b".")

    def _hear(self) -> bool:
        """Whether the answer is complete, or nobody is left to give one."""
        data = os.read(self._answers, CHUNK)
        self._answer += data
        return not data or b"\n" in data

    def _leave(self) -> None:
        """Let it end by itself."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(PATIENCE)

    def _drain(self) -> None:
        """Take what is left in the pipe; what runs on in the background may hold it open, and is not waited for."""
        with suppress(BlockingIOError):
            for _ in range(DRAINED):
                data = os.read(self._output.fileno(), CHUNK)
                if not data:
                    return
                self.said.add(data)

    def _end(self) -> None:
        """Cut the life line, and see that nothing is left, also when the process could not do its part.

        When it ended by itself, what it left behind was meant to stay.
        """
        if self.process.returncode == 0:
            return
        self._line.close()
        try:
            self.process.wait(family.GRACE + family.LAST)
        except subprocess.TimeoutExpired:
            pass
        finally:
            if self.process.returncode != 0:
                family.end(lambda: [*family.descendants(self.process.pid), *family.marked(self._mark)], grace=0.0)
                self._leave()


def _shortened(why: str) -> str:
    """WHY without its middle when it is long: it begins with what was done, and ends with what came of it."""
    half = REASON // 2
    return why if len(why) <= REASON else f"{why[:half]} … {why[-half:]}"

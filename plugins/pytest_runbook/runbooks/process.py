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
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from pytest_runbook import clock
from pytest_runbook.evidence.redaction import Redactor
from pytest_runbook.model import StepOutcome
from pytest_runbook.runbooks import environment, family
from pytest_runbook.runbooks.order import Errand, Order, Performed
from pytest_runbook.runbooks.output import Capped

__all__ = ["Order", "Performed", "perform"]

CHILD = "pytest_runbook.runbooks.child"
PATIENCE = 2.0
"""Seconds that the process gets to end after it said what came of the step."""
ANSWER = 1_000_000
"""Bytes that its answer may have."""


def perform(
    order: Order, *, timeout: float, redactor: Redactor, on_start: Callable[[int], object] | None = None
) -> Performed:
    """Perform ORDER, TIMEOUT seconds at most.

    ON_START is called with the process's id before it knows what to do: what it raises keeps the step from beginning. What
    runs in the background when the step ends well goes on, as a server that was started has to; after a time-out, a kill
    of this process or KeyboardInterrupt nothing does.
    """
    begun = clock.monotonic()
    errand = Errand(order, timeout, secrets.token_hex(16))
    said, answer = Capped(), bytearray()
    with _started(errand) as (child, answers):
        if on_start:
            on_start(child.pid)
        _tell(child, errand)
        in_time = _follow(child, answers, said, answer, begun + timeout)
        if in_time:
            with suppress(subprocess.TimeoutExpired):
                child.wait(PATIENCE)
        # What it still said while it was being ended belongs to it.
        _end(child, errand.mark)
        _drain(child, said)
    return _performed(in_time, bytes(answer), redactor, said, timeout, clock.monotonic() - begun)


@contextmanager
def _started(errand: Errand) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The process, which waits for its errand, and where its answer comes; in the end it is gone."""
    answers, theirs = os.pipe()
    child = None
    try:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", CHILD, str(theirs)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=errand.order.root,
            env=environment.plain(os.environ)
            | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), family.MARK: errand.mark},
            pass_fds=(theirs,),
            start_new_session=True,
        )
        os.close(theirs)
        theirs = -1
        yield child, answers
    finally:
        if child:
            _end(child, errand.mark)
            for pipe in (child.stdin, child.stdout):
                if pipe:
                    with suppress(OSError):
                        pipe.close()
        for end in (answers, theirs):
            if end >= 0:
                os.close(end)


def _tell(child: subprocess.Popen[bytes], errand: Errand) -> None:
    assert child.stdin
    message = pickle.dumps(errand)
    with suppress(BrokenPipeError):  # it died: that nothing comes from it says so
        child.stdin.write(len(message).to_bytes(8, "big") + message)
        child.stdin.flush()


def _follow(child: subprocess.Popen[bytes], answers: int, said: Capped, answer: bytearray, deadline: float) -> bool:
    """Read until the answer is there or nobody is left to give one; False when the deadline came first."""
    assert child.stdout
    with selectors.DefaultSelector() as selector:
        selector.register(answers, selectors.EVENT_READ)
        selector.register(child.stdout, selectors.EVENT_READ)
        while (left := deadline - clock.monotonic()) > 0:
            for key, _ in selector.select(left):
                data = os.read(key.fd, 65536)
                if key.fd == answers:
                    answer += data
                    if not data or b"\n" in data or len(answer) > ANSWER:
                        return True
                elif data:
                    said.add(data)
                else:
                    selector.unregister(child.stdout)
    return False


def _drain(child: subprocess.Popen[bytes], said: Capped) -> None:
    """Take what is left in the pipe; what runs on in the background may still hold it open, and is not waited for."""
    assert child.stdout
    os.set_blocking(child.stdout.fileno(), False)
    with suppress(BlockingIOError):
        for _ in range(64):  # a pipe holds 64 KiB; who writes on and on is not followed
            data = os.read(child.stdout.fileno(), 65536)
            if not data:
                return
            said.add(data)


def _end(child: subprocess.Popen[bytes], mark: str) -> None:
    """Cut the life line of CHILD, and see that nothing is left, also when it could not do its part."""
    assert child.stdin
    if child.returncode == 0 or (child.returncode is not None and child.stdin.closed):
        return  # it ended by itself, and what it left behind was meant to stay; or this was done
    with suppress(OSError):
        child.stdin.close()
    with suppress(subprocess.TimeoutExpired):
        child.wait(family.GRACE + family.LAST)
    family.end(lambda: {*family.descendants(child.pid), *family.marked(mark)}, grace=0.0)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        child.wait(family.LAST)


def _performed(
    in_time: bool, answer: bytes, redactor: Redactor, said: Capped, timeout: float, duration: float
) -> Performed:
    output = said.text(redactor.text)
    if not in_time:
        why = f"it was killed after {clock.duration(timeout)}, with all that it had started"
        return Performed(StepOutcome.TIMED_OUT, None, output, duration, why)
    try:
        told = json.loads(answer.partition(b"\n")[0])
        outcome, value, why = StepOutcome(told["outcome"]), told["value"], redactor.text(told["why"])
    except (ValueError, KeyError, TypeError):
        outcome, value, why = StepOutcome.FAILED, None, "its process was killed from outside before it could answer"
    return Performed(outcome, value, output, duration, why)

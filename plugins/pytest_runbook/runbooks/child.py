"""The process of a step: a guardian, which keeps the life line and knows the whole family, and a worker, which does the work.

The guardian runs nothing of a runbook, so nothing in a runbook can keep it from ending what the runbook began.
"""

from __future__ import annotations

import ctypes
import json
import os
import pickle
import select
import signal
import sys
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

from pytest_runbook import clock
from pytest_runbook.runbooks.order import BEATS, Errand

if TYPE_CHECKING:
    import psutil

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def main() -> int:
    """Take the errand from standard input, have a worker do it, and end with it; or end it when the life line is cut."""
    answers = int(sys.argv[1])
    os.environ.pop("PYTHONPATH", None)  # for this interpreter, not for those that a runbook starts
    errand = _received()
    if errand is None:
        return 1
    _control(PR_SET_CHILD_SUBREAPER, 1)  # the kernel gives us those whose parent ends, not the machine's first process
    bell = _bell()
    worker = os.fork()
    if worker == 0:
        _work(errand, answers, bell)
    from pytest_runbook.runbooks import family  # while the worker works: before there is need for it

    status = _wait(worker, bell, errand.silence)
    if status == 0:
        return 0
    if status is not None:
        why = status if isinstance(status, str) else _died(status)
        _answer(answers, {"outcome": "failed", "value": None, "why": why})
    family.end(lambda: _rest(errand.mark))
    return 1


def _rest(mark: str) -> list[psutil.Process]:
    """All that the step started and that still runs."""
    from pytest_runbook.runbooks import family

    _reaped()
    me = os.getpid()
    return [one for one in {*family.descendants(me), *family.marked(mark)} if one.pid != me]


def _received() -> Errand | None:
    """What the run sends; None when it died before it had sent all."""
    size = int.from_bytes(_read(8), "big")
    message = _read(size)
    return pickle.loads(message) if size and len(message) == size else None  # noqa: S301 - from the run that started us


def _read(size: int) -> bytes:
    data = b""
    while len(data) < size and (more := os.read(0, size - len(data))):
        data += more
    return data


def _control(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _bell() -> int:
    """Where a byte, its number, comes for each signal."""
    reading, writing = os.pipe()
    for end in (reading, writing):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, *ENDING):
        signal.signal(number, lambda *_: None)
    return reading


def _wait(worker: int, bell: int, silence: float) -> int | str | None:
    """The exit code of WORKER; None when the life line was cut first, or we are asked to end.

    In words when the run was stopped, or the machine suspended, for so long that it may not act any more.
    """
    heard = clock.boottime()
    while True:
        left = heard + silence - clock.boottime()
        # A beat at most: `select` counts no time in which the machine is suspended.
        ready, _, _ = select.select([0, bell], [], [], max(0.0, min(left, silence / BEATS)))
        if bell in ready:
            rung = os.read(bell, 4096)
            ended = _reaped()
            if worker in ended:
                return ended[worker]
            if any(number in rung for number in ENDING):
                return None
        if 0 in ready:
            if not os.read(0, 4096):
                return None
            heard = clock.boottime()
        elif clock.boottime() - heard >= silence:
            return f"it was ended: the run itself was stopped for {clock.duration(silence)}, and another may act by now"


def _reaped() -> dict[int, int]:
    """Children that ended since the last time, our own and orphans, with their exit codes."""
    ended = {}
    with suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            ended[found[0]] = os.waitstatus_to_exitcode(found[1])
    return ended


def _work(errand: Errand, answers: int, bell: int) -> NoReturn:
    """Do ERRAND in this process, and end it."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number in ENDING:  # so that `finally` of a runbook runs, and psycopg cancels what it asked for
            signal.signal(number, signal.default_int_handler)
        _control(PR_SET_PDEATHSIG, signal.SIGKILL)  # nobody works on without the guardian
        os.close(bell)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        from pytest_runbook.runbooks import worker  # late: the guardian needs none of it

        answer = worker.work(errand)
        with suppress(OSError, ValueError):
            sys.stdout.flush()
        _answer(answers, answer)
        status = 0
    except KeyboardInterrupt:
        status = 130
    except BaseException:
        traceback.print_exc()  # a fault of ours: nothing of a runbook comes to here
    finally:
        os._exit(status)


def _answer(answers: int, answer: dict[str, object]) -> None:
    data = json.dumps(answer).encode() + b"\n"
    while data:
        data = data[os.write(answers, data) :]


def _died(code: int) -> str:
    if code < 0:
        return f"its process was killed by {signal.Signals(-code).name}"
    return f"its process ended with status {code} in the middle of it"


if __name__ == "__main__":
    sys.exit(main())

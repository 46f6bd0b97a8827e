"""The processes of a step: found wherever they went, and ended.

By descent, and by a mark in their environment, which stays when a process leaves its parent, group and session.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

import psutil

from pytest_runbook import clock

MARK = "RUNBOOK_MARK"
"""The variable that holds the mark."""
GRACE = 3.0
"""Seconds between asking processes to end and killing them."""
LAST = 5.0
"""Seconds after which one that survives SIGKILL is given up: it hangs in the kernel."""


def descendants(pid: int) -> list[psutil.Process]:
    """Living processes that PID started, and what these started."""
    with suppress(psutil.NoSuchProcess):
        return _living(psutil.Process(pid).children(recursive=True))
    return []


def marked(mark: str) -> list[psutil.Process]:
    """Living processes whose mark begins with MARK; those of other users show their environment to root only."""
    return _living(one for one in psutil.process_iter() if _mark(one).startswith(mark))


def of(process: subprocess.Popen[bytes], mark: str | None) -> set[psutil.Process]:
    """PROCESS, a child of ours, with what it started, and what carries MARK; those that live."""
    own = {psutil.Process(process.pid)} if process.poll() is None else set()
    return {*own, *descendants(process.pid), *(marked(mark) if mark else ())}


def command(process: psutil.Process) -> list[str]:
    """The command line of PROCESS; empty when it ended."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def end(find: Callable[[], Iterable[psutil.Process]], grace: float = GRACE) -> bool:
    """End what FIND finds, until it finds nothing: asked first, killed after GRACE seconds; whether all are gone."""
    begun, asked = clock.monotonic(), set[psutil.Process]()
    while found := list(find()):
        passed = clock.monotonic() - begun
        if passed > grace + LAST:
            return False
        for one in found:
            with suppress(psutil.Error):
                if passed >= grace:
                    one.kill()
                elif one not in asked:
                    asked.add(one)
                    one.terminate()
        time.sleep(0.05)
    return True


def _living(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    return [one for one in processes if _lives(one)]


def _lives(process: psutil.Process) -> bool:
    try:
        return process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.Error:
        return False


def _mark(process: psutil.Process) -> str:
    try:
        return process.environ().get(MARK, "")
    except (psutil.Error, OSError):
        return ""

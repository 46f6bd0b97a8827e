"""Tells which process did something and whether it is gone: a lock must not outlive its holder, nor fall under a live one."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self


@dataclass(frozen=True, slots=True)
class Process:
    """One process of one machine; a number that is given out again is another process."""

    host: str
    """Name of the machine, for people; several machines may have the same."""
    place: str
    """Where `pid` means this process: one boot of one kernel, one namespace of process numbers."""
    pid: int
    started: int
    """Clock ticks from boot to its start; not wall time, which may jump."""

    @classmethod
    def current(cls) -> Self:
        """This process."""
        return cls(socket.gethostname(), _place(), os.getpid(), _look(os.getpid())[1])

    @property
    def gone(self) -> bool:
        """Whether it certainly ended; False as well when that cannot be seen from here."""
        return self.lives is False

    @property
    def lives(self) -> bool | None:
        """Whether it runs; None when that cannot be seen from here, as of another boot or another container."""
        if self.place != _place():
            return None
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass  # there is one, of another user
        try:
            state, started = _look(self.pid)
        except OSError:
            return None  # a /proc with hidepid shows the processes of other users to nobody else
        return state not in "ZX" and started == self.started


def _look(pid: int) -> tuple[str, int]:
    """State and start time of the process PID; see proc_pid_stat(5)."""
    # The name stands in parentheses and may hold any character, also a parenthesis.
    fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    return fields[0], int(fields[19])


@cache
def _place() -> str:
    # Containers share the boot of their host, and often its name, yet count processes for themselves.
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot} {os.readlink('/proc/self/ns/pid')}"  # noqa: PTH115 - the target is no path

"""Finding and ending every process of a lab, also when its supervisor was killed and nobody knows them any more."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import psutil

from lab.site import LabError

PATIENCE = 8.0
"""Seconds that servers have to end in order."""

ROUNDS = 10
"""How often those that are left are looked for, and killed."""
CLOBBERS_ITS_ENVIRONMENT = ("postgres", "nginx", "redis-server", "valkey-server")
"""Programs that write their title over the environment they were given; their working folder tells instead."""


def find(folder: Path) -> list[psutil.Process]:
    """The processes of the lab in FOLDER, their children included, never this one."""
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        if _is_ours(process, folder):
            found[process.pid] = process
    for postmaster in _postmasters(folder):
        found[postmaster.pid] = postmaster
    for process in list(found.values()):
        found.update({child.pid: child for child in _children(process)})
    found.pop(os.getpid(), None)
    return list(found.values())


def _is_ours(process: psutil.Process, folder: Path) -> bool:
    try:
        if process.environ().get("LAB_DIR") == str(folder) and process.status() != psutil.STATUS_ZOMBIE:
            return True
        return process.name() in CLOBBERS_ITS_ENVIRONMENT and Path(process.cwd()).is_relative_to(folder)
    except (psutil.Error, OSError):
        return False


def _postmasters(folder: Path) -> list[psutil.Process]:
    """PostgreSQL servers by their pid files: another user's process does not show its folder everywhere."""
    found = []
    for file in folder.glob("*/postmaster.pid"):
        try:
            lines = file.read_text().splitlines()
            process = psutil.Process(int(lines[0]))
            if process.name() == "postgres" and abs(process.create_time() - int(lines[2])) < 5:
                found.append(process)
        except (psutil.Error, OSError, ValueError, IndexError):
            continue
    return found


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []


def end(folder: Path, patience: float = PATIENCE) -> int:
    """End every process of the lab: asked first, killed after PATIENCE seconds; how many there were."""
    found = find(folder)
    supervisors = [process for process in found if _is_supervisor(process)]
    # First the supervisor, without asking: it would start again what we end.
    _send(supervisors, signal.SIGKILL)
    psutil.wait_procs(supervisors, timeout=patience)
    if patience:
        servers = {process.pid for process in found if process not in supervisors}
        for process in found:
            # A server's own processes are its own to end.
            if process.pid in servers and _parent(process) not in servers:
                _send([process], _polite(process))
    _send(found, signal.SIGCONT)
    psutil.wait_procs(found, timeout=patience)
    rest = [process for process in found if process.is_running()]
    alive: list[psutil.Process] = []
    # Again until nobody is found: what was being started may start another one while it is being ended.
    for _ in range(ROUNDS):
        rest = list({process.pid: process for process in [*rest, *find(folder)]}.values())
        if not rest or alive:
            break
        _send(rest, signal.SIGKILL)
        _, alive = psutil.wait_procs(rest, timeout=10)
        rest = []
    if alive:
        raise LabError(f"processes that do not end: {', '.join(str(process.pid) for process in alive)}")
    unmount(folder)
    return len(found)


def unmount(folder: Path) -> None:
    """Unmount what a fault has mounted in FOLDER, or on it."""
    for mounted in psutil.disk_partitions(all=True):
        if Path(mounted.mountpoint).is_relative_to(folder):
            subprocess.run(["umount", mounted.mountpoint], check=True, capture_output=True)


def _is_supervisor(process: psutil.Process) -> bool:
    try:
        return "supervisor.supervisord" in process.cmdline()
    except psutil.Error:
        return False


def _parent(process: psutil.Process) -> int | None:
    try:
        return process.ppid()
    except psutil.Error:
        return None


def _polite(process: psutil.Process) -> signal.Signals:
    """PostgreSQL's fast shutdown is INT: at TERM it waits for its clients."""
    try:
        return signal.SIGINT if process.name() == "postgres" else signal.SIGTERM
    except psutil.Error:
        return signal.SIGTERM


def _send(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.Error):
            process.send_signal(number)

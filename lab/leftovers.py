"""Finding and ending every process of a lab, also when its supervisor was killed and nobody knows them any more."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil

CLOBBERS_ITS_ENVIRONMENT = ("postgres", "nginx")
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


def end(folder: Path, patience: float = 8.0) -> int:
    """End every process of the lab: asked first, killed after PATIENCE seconds; how many there were."""
    supervisors_first = sorted(find(folder), key=lambda process: "supervisord" not in " ".join(_command(process)))
    for process in supervisors_first:
        # The supervisor would restart what we end.
        _send(process, signal.SIGKILL if "supervisord" in " ".join(_command(process)) else _polite(process))
        _send(process, signal.SIGCONT)
    _, alive = psutil.wait_procs(supervisors_first, timeout=patience)
    rest = {process.pid: process for process in [*alive, *find(folder)]}.values()
    for process in rest:
        _send(process, signal.SIGKILL)
    psutil.wait_procs(list(rest), timeout=patience)
    return len(supervisors_first)


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _polite(process: psutil.Process) -> signal.Signals:
    """PostgreSQL's fast shutdown is INT: at TERM it waits for its clients."""
    try:
        return signal.SIGINT if process.name() == "postgres" else signal.SIGTERM
    except psutil.Error:
        return signal.SIGTERM


def _send(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.Error:
        return

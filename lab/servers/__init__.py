"""The servers of the lab, one file each: what they need, how they start, when they are ready."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from pytest_runbook import become

from lab.site import LabError, Site

REPOSITORY = Path(__file__).parents[2]
"""Where `python -m lab` finds this package."""


@dataclass(frozen=True)
class Process:
    """How one process is started and stopped."""

    command: list[str]
    directory: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    stop_signal: str = "TERM"
    version_file: Path | None = None
    """Where VERSION stands when it is started, as a container's image tag stands in `.env`."""

    @classmethod
    def of_module(
        cls, name: str, arguments: Sequence[str] = (), environment: Mapping[str, str] | None = None
    ) -> Process:
        """A process that runs a Python module of this repository."""
        command = [sys.executable, "-m", name, *arguments]
        return cls(command, REPOSITORY, {"PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1", **(environment or {})})

    def to_json(self) -> dict[str, Any]:
        """The entry of `processes.json`."""
        paths = {"directory": str(self.directory), "version_file": self.version_file and str(self.version_file)}
        return {**asdict(self), **paths, "environment": dict(self.environment)}


class Server(ABC):
    """One server of the lab; its name is its process's name, and mostly its port's."""

    name: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ()
    """Servers that must be ready before this one is prepared and started."""
    ports: ClassVar[tuple[str, ...]] = ()
    """Ports it listens on; the one with the server's own name is what it serves on."""
    fronted: ClassVar[bool] = False
    """Whether a listener of the fault proxy stands before it; that is what checks and services are given then."""
    on_demand: ClassVar[bool] = False
    """Whether it does not belong to the running system: whoever wants it starts it, and stops it again."""
    deadline: ClassVar[float] = 30.0
    """Seconds that it may take to become ready."""

    def __init__(self, site: Site) -> None:
        self.site = site

    def prepare(self) -> None:  # noqa: B027 - a server that needs none has none
        """Write what the server reads and make its data, where it is not there; runs before every start."""

    @abstractmethod
    def process(self) -> Process:
        """How it is started."""

    @abstractmethod
    def ready(self) -> None:
        """Ask the server itself; raise NotReady or OSError when it does not do its work."""

    def settle(self) -> None:  # noqa: B027 - as above
        """Put in what the server must hold (roles, tables, buckets); runs when it is ready, again and again."""

    def clean(self) -> None:  # noqa: B027 - as above
        """Remove what the server leaves outside the lab's folder when it is killed."""


@cache
def kinds() -> dict[str, type[Server]]:
    """Every server of this folder's files, by name, those first that others need."""
    found: dict[str, type[Server]] = {}
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        for _, member in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if issubclass(member, Server) and "name" in vars(member):
                found[member.name] = member

    def depth(name: str) -> int:
        return max((1 + depth(need) for need in found[name].needs), default=0)

    return dict(sorted(found.items(), key=lambda item: (depth(item[0]), item[0])))


def load(site: Site) -> dict[str, Server]:
    """The servers of one lab."""
    return {name: kind(site) for name, kind in kinds().items()}


def port_names() -> list[str]:
    """The names of all ports that a lab needs; `front-NAME` is the fault proxy's port before the server NAME."""
    own = [port for kind in kinds().values() for port in kind.ports]
    return [*own, *(f"front-{name}" for name, kind in kinds().items() if kind.fronted)]


def unprivileged_user() -> str | None:
    """The user of servers that refuse to be root; None when we are not root."""
    try:
        return become.unprivileged()
    except LookupError as error:
        raise LabError(str(error)) from None

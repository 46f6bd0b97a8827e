"""The servers of the lab, one file each: what they need, how they start, when they are ready."""

from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
import pwd
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from lab.site import LabError, Site


@dataclass(frozen=True)
class Process:
    """How one process is started and stopped."""

    command: list[str]
    directory: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    stop_signal: str = "TERM"

    def to_json(self) -> dict[str, Any]:
        """The entry of `processes.json`."""
        return {**asdict(self), "directory": str(self.directory), "environment": dict(self.environment)}


class Server(ABC):
    """One server of the lab; its name is its process's name, and mostly its port's."""

    name: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ()
    """Servers that must be ready before this one is prepared and started."""
    deadline: ClassVar[float] = 30.0
    """Seconds that it may take to become ready."""

    def __init__(self, site: Site) -> None:
        self.site = site

    def prepare(self) -> None:
        """Write what the server reads and make its data, where it is not there; runs before every start."""

    @abstractmethod
    def process(self) -> Process:
        """How it is started."""

    @abstractmethod
    def ready(self) -> None:
        """Ask the server itself; raise NotReady or OSError when it does not do its work."""

    def settle(self) -> None:
        """Put in what the server must hold (roles, tables, buckets); runs when it is ready, again and again."""

    def clean(self) -> None:
        """Remove what the server leaves outside the lab's folder when it is killed."""


def load(site: Site) -> dict[str, Server]:
    """Every server of this folder's files, by name, those that others need first."""
    found: dict[str, Server] = {}
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        for _, member in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if issubclass(member, Server) and not inspect.isabstract(member) and member.__module__ == module.name:
                found[member.name] = member(site)
    return dict(sorted(found.items(), key=lambda item: (_depth(found, item[0]), item[0])))


def _depth(servers: dict[str, Server], name: str) -> int:
    return max((1 + _depth(servers, need) for need in servers[name].needs), default=0)


def unprivileged_user() -> str | None:
    """The user of servers that refuse to be root; None when we are not root."""
    if os.geteuid() != 0:
        return None
    for name in ("nobody", "postgres", "daemon"):
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    raise LabError('PostgreSQL refuses to run as root, and there is no user "nobody"\n  hint: run as another user')

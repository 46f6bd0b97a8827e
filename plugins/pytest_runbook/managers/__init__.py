"""Service managers: what starts, stops and restarts the units of a system, whoever runs them there.

A kind of manager is one file in this folder, or an entry point of group `pytest_runbook.managers`, with one subclass of
`base.UnitManager` that has `kind = "KIND"`. It is declared in the settings as `[managers.NAME]`, and a service names it:
`[services.web]` `manager = "NAME"`, `unit = "web"`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

from pytest_runbook import finding
from pytest_runbook.errors import UsageError, unknown

if TYPE_CHECKING:
    from pytest_runbook.managers._versions import VersionFile
    from pytest_runbook.managers.base import ManagerSettings, UnitManager
    from pytest_runbook.probes.host import HostSettings
    from pytest_runbook.settings import Settings

__all__ = [
    "HERE",
    "Completed",
    "Manager",
    "Run",
    "State",
    "Status",
    "VersionFile",
    "declared",
    "find",
    "machine",
    "machine_of",
    "manager_of",
    "named",
    "names",
]

GROUP = "pytest_runbook.managers"
"""Entry points that add kinds: `name = "module:Class"`, the name is the kind."""
HERE = "local://"
"""This machine, as a host probe calls it."""
State = Literal["running", "starting", "stopped", "failed", "absent"]


@dataclass(frozen=True, slots=True)
class Status:
    """How one unit is. It tells of processes; whether they serve is for checks to say."""

    state: State
    """`failed` ended by itself in error, or ends again and again; `absent` means that the manager has no such unit."""
    since: datetime | None = None
    """When it came to this state, by the clock of its machine; None when the manager does not tell."""
    detail: str = ""
    """What else the manager says, in its words."""
    pids: tuple[int, ...] = ()
    """Its main processes, several when the unit is run several times over; none when it does not run."""


@dataclass(frozen=True, slots=True)
class Completed:
    """A command that ended, or that was ended at its deadline."""

    status: int
    """Exit status; 127 when there is no such program, 128 plus the signal that ended it."""
    output: str
    """Standard output, without its middle when there was too much."""
    errors: str = ""
    """Standard error, the same."""
    timed_out: bool = False
    truncated: bool = False

    @property
    def said(self) -> str:
        """What it has to say of itself, for a message: errors, else output."""
        return self.errors.strip() or self.output.strip()


class Run(Protocol):
    """Runs commands on the machine of a manager, this one or another: `runbooks.reach` makes them."""

    def __call__(
        self,
        argv: Sequence[str],
        timeout: float,
        input: str | None = None,  # noqa: A002 - as subprocess calls it
        environment: Mapping[str, str] | None = None,
    ) -> Completed:
        """ARGV, an argument list that no shell reads, ended with all it started after TIMEOUT seconds.

        INPUT is its standard input, by default nothing, and ENVIRONMENT is added to what it gets anyway.
        """


class Manager(Protocol):
    """What every kind can do, to one unit and to no other; TIMEOUT is in seconds. Everything raises ManagerError."""

    def status(self, unit: str) -> Status:
        """How UNIT is; one that does not exist is `absent`."""

    def start(self, unit: str, timeout: float) -> None:
        """Return when UNIT runs, and has run for a moment; one that runs already is left alone."""

    def stop(self, unit: str, timeout: float) -> None:
        """Return when nothing of UNIT runs: asked to end first, killed when it does not."""

    def restart(self, unit: str, timeout: float) -> None:
        """Stop UNIT if it runs, and start it, in the version that `switch_version` chose."""

    def discard(self, unit: str, timeout: float) -> None:
        """Stop UNIT, and have its next start take up nothing of this one: a container is removed."""

    def logs(self, unit: str, lines: int = 50) -> str:
        """The last LINES that UNIT wrote."""

    def version(self, unit: str) -> str | None:
        """The version that UNIT runs; None when nobody can tell."""

    def next_version(self, unit: str) -> str:
        """The version that the next start of UNIT runs, as `switch_version` wrote it."""

    def previous_version(self, unit: str) -> str | None:
        """The version before the last switch, to go back to; None when there is none on record."""

    def switch_version(self, unit: str, version: str) -> None:
        """Have the next start or restart of UNIT run VERSION, and put the one before it on record."""

    def version_file(self, unit: str) -> VersionFile:
        """The file in which that stands; NoVersion when nothing says which version of UNIT is started."""

    def version_place(self, unit: str) -> str:
        """Where that stands, in words: units of which it is the same are switched together."""


def names() -> list[str]:
    """Every kind that the settings may name; imports none of them."""
    return sorted(_places())


@cache
def find(kind: str) -> type[UnitManager[Any]]:
    """The class of KIND; UsageError when there is none, or when its module cannot be imported."""
    place = _places().get(kind)
    if place is None:
        raise UsageError(unknown("kind of service manager", kind, names()))
    return cast("type[UnitManager[Any]]", finding.load("manager", kind, place, _base))


def declared(settings: Settings, service: str) -> tuple[ManagerSettings, str]:
    """The settings of the manager of SERVICE, and its unit; its `on` says on which machine. UsageError as `manager_of`."""
    name, unit = _place(settings, service)
    return settings.managers[name], unit


def manager_of(settings: Settings, service: str, run: Run) -> tuple[Manager, str]:
    """The manager of SERVICE, which runs its commands with RUN, and the unit; UsageError when none is declared."""
    name, unit = _place(settings, service)
    return named(settings, name, run), unit


def named(settings: Settings, name: str, run: Run) -> Manager:
    """The manager NAME, one of [managers.*], which runs its commands with RUN."""
    chosen = settings.managers[name]
    return find(chosen.kind)(name, chosen, run)


def machine_of(settings: Settings, service: str) -> str | None:
    """Where the manager of SERVICE runs its commands, as `machine`; UsageError as that, and as `manager_of`."""
    return machine(settings, _place(settings, service)[0])


def machine(settings: Settings, name: str) -> str | None:
    """The host probe on whose machine the manager NAME runs its commands; None: here.

    UsageError when nothing says where, and every host probe looks at another machine: what this one runs may be another
    system of the same names.
    """
    hosts = {probe: told.uri for probe, told in settings.probes.items() if isinstance(told, _host_settings())}
    if settings.managers[name].on is None and hosts and not any(uri.startswith("local:") for uri in hosts.values()):
        host = next(iter(hosts))
        raise UsageError(
            f'nothing says on which machine the manager "{name}" acts: that of probes.{host} is not this one\n'
            f'  hint: managers.{name}.on = "{host}", or "{HERE}" for this one'
        )
    return settings.managers[name].machine


def _place(settings: Settings, service: str) -> tuple[str, str]:
    known = settings.services.get(service)
    if known is None:
        raise UsageError(unknown("service", service, settings.services))
    if known.manager is None:
        raise UsageError(
            f'the service "{service}" has no manager (known: {", ".join(sorted(settings.managers)) or "none"})\n'
            f"  hint: set services.{service}.manager to one of [managers.*] in the settings file"
        )
    return known.manager, known.unit or service


@cache
def _places() -> dict[str, str]:
    return finding.places(__name__, __path__, GROUP)


def _host_settings() -> type[HostSettings]:
    from pytest_runbook.probes.host import HostSettings  # late: few ask, and only with settings that have imported it

    return HostSettings


def _base() -> type:
    from pytest_runbook.managers.base import UnitManager  # late: the base needs pydantic, naming the kinds does not

    return UnitManager

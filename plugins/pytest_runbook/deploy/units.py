"""The services of a deployment: which version each runs, how it is switched, and whether it is well."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from pytest_runbook import probes
from pytest_runbook.errors import RunbookError, Unmeasured, Unreachable, UsageError, unknown

if TYPE_CHECKING:
    from pytest_runbook.managers import Manager
    from pytest_runbook.probes.base import ProbeSettings
    from pytest_runbook.runbooks.reach import Reach
    from pytest_runbook.settings import Settings
    from pytest_runbook.settings.deploy import Health


@dataclass(frozen=True, slots=True)
class Look:
    """How one service was seen."""

    well: bool | None
    """None: nobody could look."""
    said: str
    pids: tuple[int, ...] = ()
    """Its main processes: others each time, when it ends again and again."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One service or its canary, and what starts it."""

    service: str
    manager: Manager
    name: str
    """What the manager calls it."""
    title: str
    """What people call it."""
    page: Callable[[str], Look] | None = None
    """Asks the page that tells whether a version serves; None: there is none."""
    shown: bool = False
    """Whether that page says which version it is of."""
    anew: bool = False
    """Whether it is made anew for each version, so that nothing of an earlier try is looked at: a canary."""

    def running(self) -> str | None:
        """The version that runs; None when nothing runs, or nobody can tell. Raises ManagerError when it cannot be asked."""
        return self.manager.version(self.name) if self.manager.status(self.name).state == "running" else None

    def last(self) -> str:
        """The version that runs; of what crashed, the one that ran, as its container or else what it is started with tells.

        Raises ManagerError when nothing tells.
        """
        return self.running() or self.manager.version(self.name) or self.manager.next_version(self.name)

    def switch(self, version: str, timeout: float) -> str:
        """Have it run VERSION within TIMEOUT seconds, and say what was done; one that runs it already is left alone."""
        if self.anew:
            self.manager.discard(self.name, timeout)
        self.manager.switch_version(self.name, version)
        before = self.running()
        if before == version:
            return f"{self.title} runs it already"
        self.manager.restart(self.name, timeout)
        return f"{self.title} restarted"

    def stop(self, timeout: float) -> None:
        """Have nothing of it run within TIMEOUT seconds; what the manager does not know does not run."""
        if self.manager.status(self.name).state != "absent":
            self.manager.stop(self.name, timeout)

    def look(self, version: str) -> Look:
        """Whether it is well, in VERSION."""
        try:
            status = self.manager.status(self.name)
            runs = self.manager.version(self.name) if status.state == "running" else None
        except RunbookError as error:
            return Look(None, f"{self.title}: {_first(error)}")
        if status.state != "running":
            return Look(False, f"{self.title} is {status.state}" + (f" ({status.detail})" if status.detail else ""))
        if runs is None and not self.shown:
            return Look(None, f"{self.title}: which version runs cannot be seen", status.pids)
        if runs is not None and runs != version:
            return Look(False, f'{self.title} runs "{runs}"', status.pids)
        found = self.page(version) if self.page else Look(True, f"{self.title} runs")
        return replace(found, pids=status.pids)


def units(settings: Settings, reach: Reach, services: Iterable[str]) -> list[Unit]:
    """The units of SERVICES; UsageError when one cannot be switched, or looked at as the settings say."""
    return [looked_at(settings, Unit(service, *reach.manager(service), title=service)) for service in services]


def looked_at(settings: Settings, unit: Unit, addresses: Mapping[str, str] | None = None) -> Unit:
    """UNIT with its page of health, asked at ADDRESSES (probe to URL) where they say another than the settings."""
    health = settings.deploy.health.get(unit.service)
    if health is None:
        return unit
    declared = settings.probes.get(health.probe)
    if declared is None or declared.kind != "http":
        known = [one for one, probe in settings.probes.items() if probe.kind == "http"]
        raise UsageError(unknown("http probe", health.probe, known, f"correct deploy.health.{unit.service}"))
    elsewhere = {"url": addresses[health.probe]} if addresses and health.probe in addresses else {}
    page = partial(_page, declared.model_copy(update=elsewhere), unit.title, health)
    return replace(unit, page=page, shown=bool(health.version))


def _page(declared: ProbeSettings, title: str, health: Health, version: str) -> Look:
    """What the page of HEALTH says, asked with a connection of its own."""

    async def ask() -> Look:
        probe = probes.find(declared.kind)(health.probe, declared)
        try:
            answer = await probe.get(health.path)  # type: ignore[attr-defined]
        finally:
            await probe.close()
        if answer.status_code != 200:
            return Look(False, f"{title}: {health.path} answered {answer.status_code}")
        said = _told(answer.text, health.version)
        if health.version and said != version:
            return Look(False, f'{title}: {health.path} says version "{said}"')
        return Look(True, f"{title} is well")

    try:
        return asyncio.run(ask())
    except Unreachable as error:
        return Look(False, f"{title}: {_first(error)}")
    except Unmeasured as error:
        return Look(None, f"{title}: {_first(error)}")


def _told(text: str, key: str) -> str | None:
    """The value of KEY in the JSON object TEXT; None when there is none."""
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return str(found[key]) if isinstance(found, dict) and key in found else None


def _first(error: Exception) -> str:
    return str(error).partition("\n")[0]

"""Canaries: units that run the new version beside the services, at addresses that no user knows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from pytest_runbook.deploy.units import Unit, looked_at
from pytest_runbook.errors import UsageError

if TYPE_CHECKING:
    from pytest_runbook.runbooks.reach import Reach
    from pytest_runbook.settings import Settings


def canaries(settings: Settings, reach: Reach, services: Iterable[str]) -> list[Unit]:
    """The canary of each of SERVICES; UsageError when one has none."""
    return [_canary(settings, reach, service) for service in services]


def _canary(settings: Settings, reach: Reach, service: str) -> Unit:
    told = settings.deploy.canary.get(service)
    if told is None:
        known = ", ".join(sorted(settings.deploy.canary)) or "none"
        raise UsageError(
            f'the service "{service}" has no canary (those that have one: {known})\n'
            f"  hint: write [deploy.canary.{service}] with manager, unit and probes, or leave it out by --no-canary"
        )
    for probe, url in told.probes.items():
        if getattr(settings.probes[probe], "url", None) == url:
            raise UsageError(
                f'the canary of "{service}" is where users are, at "{url}"\n'
                f"  hint: correct deploy.canary.{service}.probes.{probe}, or probes.{probe}.url"
            )
    unit = Unit(service, reach.named(told.manager), told.unit, f"the canary of {service}", anew=True)
    return looked_at(settings, unit, told.probes)


def insist_on_its_own_unit(settings: Settings, reach: Reach, canary: Unit) -> None:
    """UsageError when CANARY is what runs a service: whatever is done to it, its stop too, would be done to that."""
    machine = settings.managers[settings.deploy.canary[canary.service].manager].machine
    runs = set(canary.manager.status(canary.name).pids)
    for service, told in settings.services.items():
        if not runs or told.manager is None or settings.managers[told.manager].machine != machine:
            continue
        manager, unit = reach.manager(service)
        if runs & set(manager.status(unit).pids):
            raise UsageError(
                f'{canary.title} is the service "{service}" itself: "{canary.name}" has its processes\n'
                f"  hint: name another unit in deploy.canary.{canary.service}.unit"
            )


def insist_on_its_own_version(canary: Unit, services: Sequence[Unit]) -> None:
    """UsageError when to switch CANARY would change what one of SERVICES runs after its next start."""
    place = canary.manager.version_place(canary.name)
    for unit in services:
        if unit.manager.version_place(unit.name) == place:
            raise UsageError(
                f'{canary.title} and the service "{unit.service}" have one version, {place}\n'
                f'  hint: have the unit "{canary.name}" read another variable, or another file'
            )


def pointed(settings: Settings, services: Iterable[str]) -> list[str]:
    """What checks are told, as `--set` takes it, to look at the canaries of SERVICES instead."""
    told = (settings.deploy.canary[service].probes for service in services)
    return [f"probes.{probe}.url={url}" for probes in told for probe, url in probes.items()]


def lines(settings: Settings, services: Iterable[str]) -> Iterator[str]:
    """The canaries of SERVICES for people."""
    for service in services:
        told = settings.deploy.canary[service]
        where = ", ".join(f"{probe} at {url}" for probe, url in told.probes.items())
        yield f"canary of {service}: {told.unit}, by {told.manager}; {where}"

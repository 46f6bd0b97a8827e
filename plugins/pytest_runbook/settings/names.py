"""Names that one part of the settings takes from another, or may not take: services, managers, schedules, severities."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from pytest_runbook import probes
from pytest_runbook.errors import UsageError, unknown
from pytest_runbook.managers import HERE
from pytest_runbook.model import SCHEDULES, Severity
from pytest_runbook.settings.faults import Fault, origin_of
from pytest_runbook.settings.layers import Entry
from pytest_runbook.settings.tables import dotted, look_up

Found = Iterator[tuple[tuple[str | int, ...], str]]


def misnamed(tree: Mapping[str, Any], entries: Mapping[str, Entry], file: str) -> list[Fault]:
    """Faults of the names in TREE, also where other parts of it are bad; ENTRIES say where each value came from."""
    services = _table(tree, "services")
    found = [
        *_unknown_services(tree, services),
        *_unknown_managers(tree, services),
        *_unknown_in_backup(tree),
        *_unknown_in_canaries(tree, services),
        *_taken(_table(tree, "schedules"), services),
    ]
    return [Fault(origin_of(path, entries, file).origin, dotted(path), problem) for path, problem in found]


def _table(tree: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    table = look_up(tree, path)
    return table if isinstance(table, Mapping) else {}


def _unknown_services(tree: Mapping[str, Any], services: Mapping[str, Any]) -> Found:
    for name in _table(tree, "probes"):
        service = _table(tree, "probes", name).get("service")
        if isinstance(service, str) and service not in services:
            yield ("probes", name, "service"), unknown("service", service, services)
    windows = tree.get("maintenance")
    for number, window in enumerate(windows if isinstance(windows, list) else ()):
        named = window.get("services") if isinstance(window, Mapping) else None
        for service in named if isinstance(named, list) else ():
            if service not in services and service != "*":
                yield ("maintenance", number, "services"), unknown("service", str(service), services)


def _unknown_managers(tree: Mapping[str, Any], services: Mapping[str, Any]) -> Found:
    """Managers that services name and nobody declares, and machines of managers that no host probe looks at."""
    managers, probes = _table(tree, "managers"), _table(tree, "probes")
    for name in services:
        manager = _table(tree, "services", name).get("manager")
        if isinstance(manager, str) and manager not in managers:
            hint = f"declare [managers.{manager}] with its kind"
            yield ("services", name, "manager"), unknown("manager", manager, managers, hint)
    hosts = [name for name in probes if _table(tree, "probes", name).get("kind") == "host"]
    for name in managers:
        host = _table(tree, "managers", name).get("on")
        if isinstance(host, str) and host not in (*hosts, HERE):
            yield ("managers", name, "on"), unknown("host probe", host, hosts)


def _unknown_in_backup(tree: Mapping[str, Any]) -> Found:
    """Probes that backups are made with, and that nobody declares or that are of another kind; so of the local copy."""
    stores = _table(tree, "backup", "destinations")
    named: list[tuple[str, tuple[str, ...]]] = [("postgresql", ("backup", "database")), ("redis", ("backup", "cache"))]
    named += [("s3", ("backup", "destinations", name)) for name in stores]
    for kind, path in named:
        name = _table(tree, *path).get("probe")
        known = [one for one in _table(tree, "probes") if _table(tree, "probes", one).get("kind") == kind]
        if isinstance(name, str) and name and name not in known:
            yield (*path, "probe"), unknown(f"{kind} probe", name, known)
    local = _table(tree, "backup").get("local", "local")
    folders = [one for one in stores if _table(stores, one).get("kind") == "folder"]
    if stores and local not in folders:
        yield ("backup", "local"), unknown("destination of kind folder", str(local), folders)


def _unknown_in_canaries(tree: Mapping[str, Any], services: Mapping[str, Any]) -> Found:
    """What canaries name and nobody declares; and canaries that are a service, or cannot be asked."""
    managers, declared = _table(tree, "managers"), _table(tree, "probes")
    known = [name for name in declared if _has_address(_table(declared, name).get("kind"))]
    for service in _table(tree, "deploy", "canary"):
        place = ("deploy", "canary", service)
        canary, pointed = _table(tree, *place), _table(tree, *place, "probes")
        manager, unit = canary.get("manager"), canary.get("unit")
        if service not in services:
            yield place, unknown("service", service, services)
        if isinstance(manager, str) and manager not in managers:
            yield (
                (*place, "manager"),
                unknown("manager", manager, managers, f"declare [managers.{manager}] with its kind"),
            )
        if isinstance(manager, str) and (manager, unit) in (own := [_unit_of(services, name) for name in services]):
            other = list(services)[own.index((manager, unit))]
            yield (*place, "unit"), f'"{unit}" is the service "{other}" itself: a canary is a unit of its own'
        for probe in pointed:
            if probe not in known:
                yield (*place, "probes", probe), unknown("probe with a url", probe, known)
        health = _table(tree, "deploy", "health", service).get("probe")
        if pointed and health in known and health not in pointed:
            yield (
                (*place, "probes"),
                f'"{health}" is missing: it asks whether "{service}" is well (deploy.health.{service})',
            )


def _unit_of(services: Mapping[str, Any], name: str) -> tuple[Any, Any]:
    """The manager of the service NAME, and what that calls it."""
    service = _table(services, name)
    return service.get("manager"), service.get("unit", name)


def _has_address(kind: Any) -> bool:
    """Whether probes of KIND look at a `url`."""
    with suppress(UsageError):
        return "url" in probes.find(str(kind)).Settings.model_fields
    return False


def _taken(schedules: Mapping[str, Any], services: Mapping[str, Any]) -> Found:
    """Each schedule, severity and service is a mark: two with one name would select each other's checks."""
    for name in schedules:
        if name in SCHEDULES:
            yield ("schedules", name), "there is a schedule of this name already"
    severities = {severity.lower() for severity in Severity}
    for kind, names, taken in (
        ("services", services, {*SCHEDULES, *schedules, *severities}),
        ("schedules", schedules, severities),
    ):
        for name in sorted(taken & set(names)):
            yield (kind, name), "the name is that of a schedule or a severity"

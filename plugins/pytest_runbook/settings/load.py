"""Puts the layers together: defaults, settings file, the system's JSON, `.env`, environment, command line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, ValidationError

from pytest_runbook.errors import SettingsError
from pytest_runbook.settings import files, secrets
from pytest_runbook.settings.declared import accepted
from pytest_runbook.settings.facts import SystemFacts, find
from pytest_runbook.settings.faults import Fault, as_error, invalid
from pytest_runbook.settings.layers import Entry, Layer, Settings, deciding, merge, tree
from pytest_runbook.settings.names import misnamed
from pytest_runbook.settings.shape import locate
from pytest_runbook.settings.tables import dotted, look_up
from pytest_runbook.settings.variables import FILE, PREFIX, command_line, direct, mapped, mentioned, spelled, with_files


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings of a run and what goes with them."""

    settings: Settings
    origins: Mapping[str, str] = field(repr=False)
    """Dotted key to where its value comes from: a file, `environment NAME`, `command line` or `default`."""
    secrets: frozenset[str] = field(repr=False)
    """Raw values that must never be written anywhere."""
    system: SystemFacts

    def values(self) -> dict[str, Any]:
        """Dotted key to value, in the order of the schema."""
        return {dotted(path): value for path, value in _values(self.settings)}


def load(root: Path, *, file: Path | None, environ: Mapping[str, str], overrides: Sequence[str] = ()) -> Loaded:
    """The settings of FILE and the layers above it; SettingsError names everything that is wrong with them.

    ROOT is the folder that relative paths start from, and OVERRIDES are `key.path=value`. A JSON or `.env` file of the
    system that is there and broken does not stop the run: it is a finding about the system, in `Loaded.system`.
    """
    found: list[Fault] = []
    declared = _declared(root, file)
    name = _place(root, file) if file else "settings"

    wanted = partial(_wanted, declared, mentioned(declared))
    process = with_files(environ, wanted, "environment {}", found)
    command = [*command_line(overrides, declared, found)]
    # The system's own files come first of all, so what says where they are cannot stand in them.
    first = tree([Entry((key,), value, name) for key, value in declared.items()], direct(process, declared), command)
    system = first["system"] if isinstance(first.get("system"), dict) else {}
    around = find(root, system, process, wanted, found)

    env_file = _place(root, around.env_file) if around.env_file else ""
    variables = [*_from_variables(system, declared, around, partial(_origin, environ, env_file))]
    given = [
        [Entry((key,), value, name) for key, value in declared.items()],
        [*_from_config(root, system, around)],
        [entry for entry in variables if entry.origin == env_file],
        [entry for entry in variables if entry.origin != env_file],
        command,
    ]
    secret = secrets.kept(_secrets(given, around))
    layers = [Layer(given[0]), *(Layer(accepted(entries, declared, found)) for entries in given[1:])]
    settings = _merged(_without_stale_addresses(layers), name, found, secret)
    origins = {key: entry.origin for key, entry in deciding(layers).items()}
    shown = {dotted(path): origins.get(dotted(path), "default") for path, _ in _values(settings)}
    return Loaded(settings, MappingProxyType(shown), secret, around)


def _declared(root: Path, file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        return files.toml(root / file)
    except files.Unreadable as error:
        raise SettingsError(f"{error}\n  hint: correct the file, or name another settings file") from None


def _place(root: Path, file: Path) -> str:
    """FILE as people call it: relative to ROOT when it is inside."""
    path = root / file
    return str(path.relative_to(root) if path.is_relative_to(root) else path)


def _wanted(declared: Mapping[str, Any], named: set[str], name: str) -> bool:
    """Whether NAME_FILE gives NAME: for names that the settings file speaks of, and for direct ones.

    RUNBOOK__PROBES__PROXY__CA_FILE is a key itself, and gives no `ca`.
    """
    if not name.upper().startswith(PREFIX):
        return name in named
    path = spelled(tuple(f"{name}_FILE"[len(PREFIX) :].split("__")), declared)
    return len(locate(Settings, path, declared).path) < len(path)


def _from_config(root: Path, system: Mapping[str, Any], around: SystemFacts) -> Iterator[Entry]:
    if around.config_file:
        place = _place(root, around.config_file)
        yield from mapped(system.get("config_map"), lambda key: look_up(around.config, key.split(".")), lambda _: place)


def _from_variables(
    system: Mapping[str, Any], declared: Mapping[str, Any], around: SystemFacts, origin: Callable[[Sequence[str]], str]
) -> Iterator[Entry]:
    """What `.env` and the environment give; ORIGIN tells them apart by the names of variables."""
    variables = around.environment
    yield from mapped({str(system.get("environment_variable")): "system.environment"}, variables.get, origin)
    yield from mapped(system.get("environment_map"), variables.get, origin)
    for entry in direct(variables, declared):
        yield replace(entry, origin=origin([entry.source]))


def _origin(environ: Mapping[str, str], env_file: str, names: Sequence[str]) -> str:
    """Where the variables NAMES stand: those in ENVIRON, by NAME or as NAME_FILE, are stronger than the ENV_FILE's."""
    own = [spelling for name in names for spelling in (name, name + FILE) if spelling in environ]
    return f"environment {', '.join(own)}" if own else env_file


def _secrets(given: Iterable[Iterable[Entry]], around: SystemFacts) -> Iterator[str]:
    """Candidates for secrets, in all that was given: also in values that a stronger layer overrides."""
    layers = [Layer(entries) for entries in given]
    whole = tree(*(layer.entries for layer in layers))
    for entry in (entry for layer in layers for entry in layer.entries):
        # What the system's variables are called is no secret, what they are is.
        named = secrets.is_secret(entry.path[-1], entry.value) and entry.path[0] != "system"
        yield from secrets.texts(entry.value, named or locate(Settings, entry.path, whole).secret)
    for values in (around.environment, around.env, around.config):
        yield from secrets.named(values)


def _without_stale_addresses(layers: list[Layer]) -> list[Layer]:
    """LAYERS without an `uri` of a probe whose `host` a stronger layer names."""
    for strong, layer in enumerate(layers):
        moved = {entry.path[:2] for entry in layer.entries if entry.path[0] == "probes" and entry.path[2:] == ("host",)}
        for weaker in layers[:strong]:
            weaker.entries = [e for e in weaker.entries if e.path[:2] not in moved or e.path[2:] != ("uri",)]
    return layers


def _merged(layers: Sequence[Layer], name: str, found: list[Fault], secret: frozenset[str]) -> Settings:
    whole = tree(*(layer.entries for layer in layers))
    deciders = deciding(layers)
    try:
        settings = merge(layers)
    except ValidationError as error:
        found += invalid(error, whole, deciders, name)
    found += misnamed(whole, deciders, name)
    if found:
        raise as_error(found, secret)
    return settings


def _values(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value inside VALUE that is no table, with its path."""
    if isinstance(value, BaseModel):
        value = {key: getattr(value, key) for key in type(value).model_fields}
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _values(inner, (*path, key))
    elif path:
        yield path, value

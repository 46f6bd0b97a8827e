"""The layers that settings are merged from, each a source of pydantic-settings that knows where its values came from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import PositiveFloat
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from pytest_runbook.settings.backup import Backup
from pytest_runbook.settings.deploy import Deploy
from pytest_runbook.settings.drill import Drill, Restore
from pytest_runbook.settings.schema import (
    Concurrency,
    Confirm,
    Facts,
    History,
    Limits,
    Mail,
    MaintenanceWindow,
    Managers,
    Name,
    Probes,
    Remediation,
    Report,
    Services,
    System,
    Waiver,
)
from pytest_runbook.settings.tables import Table, dotted, leaves

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One value that a layer gives."""

    path: Path
    value: Any
    origin: str
    """Where it stands: a file, `environment NAME`, `command line`."""
    source: str = ""
    """Its name there, when it is not the settings' own: `database.port`."""


_layers: ContextVar[Sequence[Layer]] = ContextVar("runbook_settings_layers", default=())


class Settings(BaseSettings):
    """Everything that a run can be told."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    gate: Literal["P1", "P2", "P3"] = "P2"
    """Failures of this severity and worse make the run fail."""
    timeout: PositiveFloat = 30.0
    """Seconds that a check may take, unless it says otherwise."""
    system: System = System()
    services: Services = {}
    managers: Managers = {}
    probes: Probes = {}
    limits: Limits = Table("limits", {})
    facts: Facts = Table("facts", {})
    schedules: dict[Name, str] = {}
    """Further schedules, name to description."""
    confirm: Confirm = Confirm()
    concurrency: Concurrency = Concurrency()
    waivers: tuple[Waiver, ...] = ()
    maintenance: tuple[MaintenanceWindow, ...] = ()
    remediation: Remediation = Remediation()
    report: Report = Report()
    history: History = History()
    backup: Backup = Backup()
    deploy: Deploy = Deploy()
    restore: Restore = Restore()
    drill: Drill = Drill()
    mail: Mail = Mail()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The layers handed to `merge`, the strongest first; nothing that the library would look for by itself."""
        return tuple(reversed(_layers.get()))

    def __repr__(self) -> str:
        """Names only: a value could be a secret."""
        return f"<settings of {self.system.name}, {self.system.environment}>"

    __str__ = __repr__


class Layer(PydanticBaseSettingsSource):
    """Values of one kind of origin, as a tree."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        super().__init__(Settings)
        self.entries = [
            replace(entry, path=path, value=value)
            for entry in entries
            for path, value in leaves(entry.value, entry.path)
        ]

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """What the base class asks for; the whole tree is given at once instead."""
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        """The tree of this layer's values."""
        tree: dict[str, Any] = {}
        for entry in self.entries:
            table = tree
            for part in entry.path[:-1]:
                inner = table.get(part)
                table[part] = table = inner if isinstance(inner, dict) else {}
            table[entry.path[-1]] = entry.value
        return tree


@contextmanager
def _given(layers: Sequence[Layer]) -> Iterator[None]:
    token = _layers.set(layers)
    try:
        yield
    finally:
        _layers.reset(token)


def merge(layers: Sequence[Layer]) -> Settings:
    """The settings that LAYERS give, the weakest first; pydantic's ValidationError names each bad value."""
    with _given(layers):
        return Settings()


def tree(*given: Iterable[Entry]) -> dict[str, Any]:
    """What GIVEN, the weakest first, hold together, as it was given."""
    return Layer(entry for entries in given for entry in entries)()


def deciding(layers: Sequence[Layer]) -> dict[str, Entry]:
    """Dotted key to the entry of LAYERS that decides its value."""
    return {dotted(entry.path): entry for layer in layers for entry in layer.entries}

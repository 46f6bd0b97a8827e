"""What the schema says of one settings key: whether it exists, which keys stand beside it, whether it is a secret."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel

from pytest_runbook import managers, probes
from pytest_runbook.backup import destinations
from pytest_runbook.backup.destinations.base import DestinationSettings
from pytest_runbook.errors import UsageError
from pytest_runbook.managers.base import ManagerSettings
from pytest_runbook.probes.base import ProbeSettings
from pytest_runbook.settings.tables import Table

_KINDS: Mapping[type, Any] = {
    ProbeSettings: probes,
    ManagerSettings: managers,
    DestinationSettings: destinations,
}
"""The base of the settings of all kinds, and the package that finds the kinds."""


@dataclass(frozen=True)
class Place:
    """Where a path leads in the schema."""

    path: tuple[str | int, ...]
    """The part of the path that exists."""
    shape: Any
    """Type of what stands there; None when anything may."""
    known: tuple[str, ...]
    """Keys of the last table on the way."""

    @property
    def secret(self) -> bool:
        """Whether what stands here, or inside, must never be shown."""
        return "SecretStr" in repr(self.shape) or "SecretBytes" in repr(self.shape)

    @property
    def table(self) -> bool:
        """Whether this is a table, not a value."""
        return get_origin(self.shape) is dict or _is(self.shape, BaseModel, Table)


def locate(root: type[BaseModel], path: Sequence[str | int], data: Any) -> Place:
    """Follow PATH from ROOT as far as it exists; DATA, the values given, says of which kind a probe or a manager is."""
    shape: Any = root
    known: tuple[str, ...] = ()
    for depth, part in enumerate(path):
        shape = _of_kind(shape, data)
        known = tuple(_keys(shape, data)) or known
        inner = _inside(shape, part, data)
        if inner is _NOTHING:
            return Place(tuple(path[:depth]), shape, known)
        shape = _bare(inner)
        data = data.get(part) if isinstance(data, Mapping) else _item(data, part)
    return Place(tuple(path), _of_kind(shape, data), known)


_NOTHING = object()


def _inside(shape: Any, part: str | int, data: Any) -> Any:
    """Type of PART inside SHAPE."""
    if _is(shape, BaseModel):
        field = shape.model_fields.get(str(part))
        return field.annotation if field else _NOTHING
    if _is(shape, Table):  # what it holds is what the file declares
        inner = data.get(part, _NOTHING) if isinstance(data, Mapping) else _NOTHING
        return inner if inner is _NOTHING else (Table if isinstance(inner, Mapping) else None)
    if get_origin(shape) is dict:
        return get_args(shape)[1]
    return get_args(shape)[0] if get_origin(shape) in (list, tuple) and isinstance(part, int) else _NOTHING


def _keys(shape: Any, data: Any) -> Iterable[str]:
    if _is(shape, BaseModel):
        return tuple(shape.model_fields)
    return map(str, data) if isinstance(data, Mapping) and (_is(shape, Table) or get_origin(shape) is dict) else ()


def _of_kind(shape: Any, data: Any) -> Any:
    """SHAPE, or the settings of the kind that DATA names where SHAPE is the base of them all."""
    kinds: Any = _KINDS.get(shape) if isinstance(shape, type) else None
    if kinds is None or not isinstance(data, Mapping):
        return shape
    try:
        return kinds.find(str(data.get("kind"))).Settings
    except UsageError:
        return shape


def _bare(shape: Any) -> Any:
    """SHAPE without its annotations, and without None where it is optional."""
    while get_origin(shape) is Annotated:
        shape = get_args(shape)[0]
    options = [option for option in get_args(shape) if option is not NoneType]
    optional = len(options) == 1 and NoneType in get_args(shape)
    return _bare(options[0]) if optional else shape


def _is(shape: Any, *bases: type) -> bool:
    return isinstance(shape, type) and get_origin(shape) is None and issubclass(shape, bases)


def _item(data: Any, part: str | int) -> Any:
    return data[part] if isinstance(data, Sequence) and isinstance(part, int) and part < len(data) else None

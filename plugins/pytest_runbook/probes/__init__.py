"""Finds the kinds of probes: a class with `kind = "NAME"` that a module of this folder holds, or an entry point of that name.

Which module holds which kind is read from its source, so that a run imports only the clients of the kinds it uses.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_runbook.errors import UsageError, unknown

if TYPE_CHECKING:
    from pytest_runbook.probes.base import Probe

GROUP = "pytest_runbook.probes"
"""Entry points that add kinds: `name = "module:Class"`, the name is the kind."""
_DECLARED = re.compile(r'^    kind\b[^=\n]*= *"(\w+)"', re.MULTILINE)


def kinds() -> dict[str, type[Probe[Any]]]:
    """Kind to class, all of them."""
    return {kind: find(kind) for kind in names()}


def names() -> list[str]:
    """Every kind that the settings may name; imports none of them."""
    return sorted(_places())


@cache
def find(kind: str) -> type[Probe[Any]]:
    """The class of KIND; UsageError when there is none, or when its module cannot be imported."""
    place = _places().get(kind)
    if place is None:
        raise UsageError(unknown("kind of probe", kind, names()))
    module, _, attribute = place.partition(":")
    try:
        found = importlib.import_module(module)
    except Exception as error:  # a module can raise anything while it is imported
        raise UsageError(
            f'probe kind "{kind}" cannot be imported: {type(error).__name__}: {error}\n'
            f'  hint: install what it needs, or repair "{module}"'
        ) from error
    return _class(kind, place, [getattr(found, attribute, None)] if attribute else vars(found).values())


@cache
def _places() -> dict[str, str]:
    """Kind to `module` or `module:attribute`; our own kinds cannot be replaced by a package that is merely installed."""
    plugged = {point.name: point.value for point in entry_points(group=GROUP)}
    return {**plugged, **dict(_own())}


def _own() -> Iterator[tuple[str, str]]:
    for folder in map(Path, __path__):
        for module in pkgutil.iter_modules([str(folder)]):
            for source in [folder / f"{module.name}.py", *(folder / module.name).glob("*.py")]:
                if source.is_file():
                    for kind in _DECLARED.findall(source.read_text(encoding="utf-8")):
                        yield kind, f"{__name__}.{module.name}"


def _class(kind: str, place: str, candidates: Any) -> type[Probe[Any]]:
    from pytest_runbook.probes.base import Probe  # late: the base needs pydantic, naming the kinds does not

    for value in candidates:
        if inspect.isclass(value) and issubclass(value, Probe) and getattr(value, "kind", None) == kind:
            return value
    raise UsageError(f'probe kind "{kind}" has no class: "{place}" holds no Probe with kind = "{kind}"')

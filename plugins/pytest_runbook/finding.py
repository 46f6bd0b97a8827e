"""Finds kinds, of probes or of service managers: classes with `kind = "NAME"` in the modules of a folder, and entry points.

Which module holds which kind is read from its source, so that a run imports only the modules of the kinds it uses.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from pytest_runbook.errors import UsageError

_DECLARED = re.compile(r'^    kind\b[^=\n]*= *"(\w+)"', re.MULTILINE)


def places(package: str, folders: Iterable[str], group: str) -> dict[str, str]:
    """Kind to `module` or `module:attribute`, of the FOLDERS of PACKAGE and the entry points of GROUP.

    Our own kinds cannot be replaced by a package that is merely installed.
    """
    plugged = {point.name: point.value for point in entry_points(group=group)}
    return {**plugged, **dict(_own(package, folders))}


def _own(package: str, folders: Iterable[str]) -> Iterator[tuple[str, str]]:
    for folder in map(Path, folders):
        for module in pkgutil.iter_modules([str(folder)]):
            for source in [folder / f"{module.name}.py", *(folder / module.name).glob("*.py")]:
                if source.is_file():
                    for kind in _DECLARED.findall(source.read_text(encoding="utf-8")):
                        yield kind, f"{package}.{module.name}"


def load(what: str, kind: str, place: str, base: Callable[[], type]) -> Any:
    """The class at PLACE, a subclass of BASE(), whose kind is KIND; UsageError when it is not there.

    WHAT are such classes called: "probe". BASE is a function because naming the kinds should import nothing.
    """
    module, _, attribute = place.partition(":")
    try:
        found = importlib.import_module(module)
    except Exception as error:  # a module can raise anything while it is imported
        raise UsageError(
            f'{what} kind "{kind}" cannot be imported: {type(error).__name__}: {error}\n'
            f'  hint: install what it needs, or repair "{module}"'
        ) from error
    parent = base()
    for value in [getattr(found, attribute, None)] if attribute else vars(found).values():
        if inspect.isclass(value) and issubclass(value, parent) and getattr(value, "kind", None) == kind:
            return value
    raise UsageError(f'{what} kind "{kind}" has no class: "{place}" holds no {parent.__name__} with kind = "{kind}"')

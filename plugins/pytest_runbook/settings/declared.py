"""What may override the settings file: a limit, a fact or a probe has to be declared there, and keeps its type."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from pytest_runbook.settings.faults import Fault, given_by, shown, unknown_key
from pytest_runbook.settings.files import naming
from pytest_runbook.settings.layers import Entry
from pytest_runbook.settings.tables import dotted, look_up

TABLES = ("limits", "facts")


def accepted(entries: Iterable[Entry], tree: Mapping[str, Any], faults: list[Fault]) -> Iterator[Entry]:
    """ENTRIES of the layers above the file, whose content TREE is, in the types that it declares."""
    for entry in (single for whole in entries for single in _singles(whole, tree)):
        known_depth = len(entry.path) if entry.path[0] in TABLES else 2 if entry.path[0] == "probes" else 0
        if missing := _missing(entry.path[:known_depth], tree):
            known = look_up(tree, missing[:-1]) or ()
            faults.append(unknown_key(entry.origin, missing, known, entry.source))
        elif entry.path[0] in TABLES:
            yield from _typed(entry, look_up(tree, entry.path), faults)
        else:
            yield entry


def _singles(entry: Entry, tree: Mapping[str, Any]) -> Iterator[Entry]:
    """The entries of which ENTRY consists, where it is a table in place of a table."""
    if not isinstance(entry.value, Mapping) or not isinstance(look_up(tree, entry.path), Mapping):
        yield entry
        return
    for key, value in entry.value.items():
        yield from _singles(replace(entry, path=(*entry.path, key), value=value), tree)


def _missing(path: tuple[str, ...], tree: Any) -> tuple[str, ...]:
    """PATH up to its first part that TREE does not have; empty when it has them all."""
    for depth, part in enumerate(path):
        if not isinstance(tree, Mapping) or part not in tree:
            return path[: depth + 1]
        tree = tree[part]
    return ()


def _typed(entry: Entry, declared: Any, faults: list[Fault]) -> Iterator[Entry]:
    try:
        yield replace(entry, value=as_declared(entry.value, declared))
    except ValueError:
        problem = f"should be {_expected(declared)}{shown(entry.path, entry.value)}"
        faults.append(Fault(entry.origin, dotted(entry.path), problem, given_by(entry)))


def as_declared(value: Any, declared: Any) -> Any:
    """VALUE in the type of DECLARED; ValueError when it is none of that type."""
    match declared:
        case bool():
            return _switch(value)
        case int() | float():
            return _number(value)
        case list():
            items = [item.strip() for item in value.split(",") if item.strip()] if isinstance(value, str) else value
            if not isinstance(items, list):
                raise ValueError
            return [as_declared(item, declared[0]) for item in items] if declared else items
        case str() if isinstance(value, str | int | float) and not isinstance(value, bool):
            return str(value)
    if type(value) is not type(declared):
        raise ValueError
    return value


def _switch(value: Any) -> bool:
    word = str(value).lower()
    if word not in ("true", "false"):
        raise ValueError
    return word == "true"


def _number(value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError
    if not isinstance(value, str):
        return value
    number = float(value)
    if not math.isfinite(number):  # a limit that everything passes, or nothing
        raise ValueError
    return int(value) if value.strip().lstrip("+-").isdigit() else number


def _expected(declared: Any) -> str:
    inner = f" of {_expected(declared[0])}" if isinstance(declared, list) and declared else ""
    return naming(declared) + inner

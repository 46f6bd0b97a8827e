"""Words everything that is wrong with the settings, at once: where, which key, what, the known ones, what to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from pytest_runbook.errors import SettingsError
from pytest_runbook.evidence.redaction import MASK
from pytest_runbook.settings.files import naming
from pytest_runbook.settings.layers import Entry, Settings
from pytest_runbook.settings.secrets import mask, secret_name
from pytest_runbook.settings.shape import Place, locate
from pytest_runbook.settings.tables import close, dotted, listed


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong."""

    origin: str
    """File, `environment NAME` or `command line`."""
    key: str
    problem: str
    hint: str = ""

    def __str__(self) -> str:
        problem, _, more = self.problem.partition("\n")
        hint = self.hint and f"\n  hint: {self.hint}"
        return f"{self.origin}: {self.key}: {problem}" + (f"\n{more}" if more else hint)


def as_error(faults: Iterable[Fault], secrets: Iterable[str]) -> SettingsError:
    """One error for all FAULTS, each once, without SECRETS."""
    lines = list(dict.fromkeys(map(str, faults)))
    head = f"{len(lines)} faults in the settings\n" if len(lines) > 1 else ""
    return SettingsError(mask(head + "\n".join(lines), secrets))


def unknown_key(origin: str, path: Sequence[str], known: Iterable[str], source: str = "") -> Fault:
    """The fault of a key that does not exist; its value is not told: nothing says that it is no secret."""
    names = [name for name in known if name != "kind"]
    near = close(str(path[-1]), names)
    hint = f'did you mean "{dotted((*path[:-1], near[0]))}"?' if near else "remove it, or correct its name"
    if source and source not in origin:
        hint += f" (it is given by {source})"
    return Fault(origin, dotted(path), f"unknown key (known: {listed(str(path[-1]), names)})", hint)


def invalid(error: ValidationError, tree: Any, entries: Mapping[str, Entry], file: str) -> list[Fault]:
    """The faults that pydantic found in TREE; ENTRIES says where each value came from, FILE where it should be."""
    found: dict[str, Fault] = {}
    for item in error.errors(include_url=False):
        place = locate(Settings, item["loc"], tree)
        fault = _fault(item, place, origin_of(item["loc"], entries, file))
        same = found.get(fault.key)
        # Of a choice between types pydantic says what each of them misses.
        if same and fault.problem not in same.problem:
            fault = replace(same, problem=f"{same.problem} or {fault.problem}")
        found[fault.key] = fault
    return list(found.values())


def _fault(item: Any, place: Place, entry: Entry) -> Fault:
    if item["type"] == "extra_forbidden":
        return unknown_key(entry.origin, item["loc"], place.known, entry.source)
    if item["type"] == "missing":
        key = dotted(item["loc"])
        return Fault(entry.origin, key, "missing", f"set {key} in the settings file")
    value = shown(place.path, item["input"], place.secret, place.table)
    return Fault(entry.origin, dotted(place.path), _problem(item) + value, given_by(entry))


def _problem(item: Any) -> str:
    if item["type"] == "value_error":
        return str(item["ctx"]["error"])
    if item["type"] == "literal_error":
        return f"should be one of: {item['ctx']['expected'].replace(' or ', ', ').replace(chr(39), '')}"
    text = str(item["msg"]).replace("Input should be", "should be").partition(", unable to")[0]
    return text[:1].lower() + text[1:]


def given_by(entry: Entry) -> str:
    """What else to say of where ENTRY stands: its name there."""
    return f"it is given by {entry.source}" if entry.source and entry.source not in entry.origin else ""


def shown(path: Sequence[str | int], value: Any, secret: bool = False, table: bool = False) -> str:
    """VALUE of the key PATH for a message; a secret, and a whole table in a wrong place, are not told."""
    if value is None:
        return ""
    if secret or (path and secret_name(str(path[-1]))):
        return f' (value "{MASK}")'
    if table or isinstance(value, Mapping | list):
        return f" (given: {naming(value)})"
    return f' (value "{value}")'


def origin_of(loc: Sequence[str | int], entries: Mapping[str, Entry], file: str) -> Entry:
    """The entry that decides LOC, one inside it, or the one that it is inside of; FILE when none does."""
    for depth in range(len(loc), 0, -1):
        key = dotted(loc[:depth])
        if depth < len(loc) and key not in entries:
            continue
        for other, entry in reversed(list(entries.items())):
            if other == key or other.startswith(f"{key}."):
                return entry
    return Entry((), None, file)

"""Tables whose keys the settings file declares (`limits`, `facts`): read by attribute, never by a name that is not there."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pytest_runbook.errors import SettingsError


class Table(Mapping[str, Any]):
    """A frozen table: `limits.web.response_time_p95`, or `limits["web"]["response_time_p95"]`."""

    __slots__ = ("_path", "_values")

    def __init__(self, path: str, values: Mapping[str, Any]) -> None:
        """PATH is the dotted name that messages say, VALUES what the settings hold there."""
        self._path = path
        self._values = {key: _frozen(dotted((path, key)), value) for key, value in values.items()}

    def __getattr__(self, name: str) -> Any:
        """The value of NAME; SettingsError, with the known names, when the settings do not declare it."""
        if name.startswith("__") or name in Table.__slots__:  # what copy and pickle look for is no key
            raise AttributeError(name)
        return self[name]

    def __getitem__(self, name: str) -> Any:
        """The value of NAME; SettingsError, with the known names, when the settings do not declare it."""
        try:
            return self._values[name]
        except KeyError:
            raise SettingsError(
                f'unknown key "{dotted((self._path, name))}" (known: {listed(name, self._values)})\n'
                f"  hint: declare it under [{self._path}] in the settings file"
            ) from None

    def get(self, key: str, default: Any = None) -> Any:
        """The value of KEY, or DEFAULT when the settings do not declare it."""
        return self._values.get(key, default)

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"<{self._path}: {', '.join(self._values)}>"


def _frozen(path: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return Table(path, value)
    return tuple(_frozen(path, item) for item in value) if isinstance(value, list) else value


def dotted(path: Iterable[str | int]) -> str:
    """PATH as TOML writes it: `probes.web.url`, `config_map."database.host"`."""
    first, *rest = map(str, path)
    return ".".join([first or '""', *(f'"{part}"' if "." in part or not part else part for part in rest)])


def listed(name: str, known: Iterable[str]) -> str:
    """KNOWN names for a message, those that look like NAME first."""
    names = sorted(known)
    near = close(name, names)
    return ", ".join([*near, *(other for other in names if other not in near)]) or "none"


def close(name: str, known: Iterable[str]) -> list[str]:
    """Those of KNOWN that NAME is probably a slip for, the nearest first."""
    return difflib.get_close_matches(name, list(known), n=3, cutoff=0.6)


def look_up(tree: Any, path: Sequence[str]) -> Any:
    """What TREE holds at PATH; None when it holds nothing there."""
    for part in path:
        if not isinstance(tree, Mapping) or part not in tree:
            return None
        tree = tree[part]
    return tree


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value inside VALUE that is no table, with its path; an empty table counts as a value."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from leaves(inner, (*path, str(key)))
    else:
        yield path, value

"""Environment variables as settings: those the system maps, direct ones (`RUNBOOK__…`), and `NAME_FILE` for each of them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from pytest_runbook.settings import files
from pytest_runbook.settings.faults import Fault
from pytest_runbook.settings.layers import Entry
from pytest_runbook.settings.tables import leaves, look_up

PREFIX = "RUNBOOK__"
"""`RUNBOOK__LIMITS__WEB__UPTIME` is the key limits.web.uptime, in any case of letters."""
FILE = "_FILE"
ABSENT = (None, "", "***masked***")
"""What stands where a value is not set, or not told."""
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]+")
_PIECE = re.compile(r"{([^{}]+)}")


def mentioned(tree: Any) -> set[str]:
    """Names of variables that the settings file speaks of, in its maps and its facts: NAME_FILE is read for these."""
    words: list[Any] = []
    for section in (look_up(tree, ("system", "environment_map")), look_up(tree, ("facts",))):
        for path, value in leaves(section):
            words += [*path, *(value if isinstance(value, list) else [value])]
    texts = {word for word in words if isinstance(word, str)}
    names = {name for text in texts for name in (text, *_PIECE.findall(text)) if _VARIABLE.fullmatch(name)}
    # What names a file of the system, APP_ENV_FILE, is no file with the content of APP_ENV.
    own = [look_up(tree, ("system", key)) for key in ("env_file_variable", "config_file_variable")]
    return names - {str(name).removesuffix(FILE) for name in own}


def with_files(
    variables: Mapping[str, str], wanted: Callable[[str], bool], origin: str, faults: list[Fault]
) -> dict[str, str]:
    """VARIABLES, with NAME from the file that NAME_FILE names, in place of it, for each NAME that is WANTED.

    ORIGIN words where a variable, `{}`, stands.
    """
    found = dict(variables)
    for name, path in variables.items():
        plain = name.removesuffix(FILE)
        if not name.endswith(FILE) or not wanted(plain):
            continue
        del found[name]
        if plain in variables:
            faults.append(Fault(origin.format(name), name, f"{plain} is set as well", "set one of the two"))
            continue
        try:
            found[plain] = files.text(Path(path)).strip()
        except files.Unreadable as error:
            faults.append(Fault(origin.format(name), name, str(error), f"name a readable file that holds {plain}"))
    return found


def direct(variables: Mapping[str, str], tree: Any) -> Iterator[Entry]:
    """What the VARIABLES that begin with RUNBOOK__ set, in keys as TREE spells them."""
    for name, text in variables.items():
        if name.upper().startswith(PREFIX):
            path = spelled(tuple(name[len(PREFIX) :].split("__")), tree)
            yield Entry(path, parsed(text), f"environment {name}", name)


def spelled(path: tuple[str, ...], tree: Any) -> tuple[str, ...]:
    """PATH with each part as TREE spells it, in lower case where TREE does not have it."""
    parts = []
    for part in path:
        known = {key.lower(): key for key in tree} if isinstance(tree, Mapping) else {}
        parts.append(known.get(part.lower(), part.lower()))
        tree = tree.get(parts[-1]) if isinstance(tree, Mapping) else None
    return tuple(parts)


def parsed(text: str) -> Any:
    """TEXT, or the list, table, text or null that it is in JSON; numbers stay text: a password may be one."""
    if text[:1] in ("[", "{", '"') or text == "null":
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def mapped(keys: Any, value_of: Callable[[str], Any], origin: Callable[[list[str]], str]) -> Iterator[Entry]:
    """What KEYS, a name or a template to settings keys, give for the values at hand; the later of two for a key wins."""
    for source, targets in keys.items() if isinstance(keys, Mapping) else ():
        pieces = _PIECE.findall(source) or [source]
        values = {piece: value_of(piece) for piece in pieces}
        if any(value in ABSENT for value in values.values()):
            continue
        value = _filled(source, values) if source not in values else values[source]
        for target in targets if isinstance(targets, list) else [targets]:
            yield Entry(tuple(str(target).split(".")), value, origin(pieces), ", ".join(pieces))


def sources(keys: Any) -> Iterator[str]:
    """Names of the values that `mapped` takes for KEYS."""
    for source in keys if isinstance(keys, Mapping) else ():
        yield from _PIECE.findall(source) or [source]


def _filled(template: str, values: Mapping[str, Any]) -> str:
    """TEMPLATE with its VALUES; in an address one of IPv6 stands in brackets."""

    def value(found: re.Match[str]) -> str:
        text = str(values[found[1]])
        return f"[{text}]" if "://" in template and _is_ipv6(text) else text

    return _PIECE.sub(value, template)


def _is_ipv6(text: str) -> bool:
    try:
        return ip_address(text).version == 6
    except ValueError:
        return False


def command_line(overrides: Iterable[str], tree: Any, faults: list[Fault]) -> Iterator[Entry]:
    """What `--set key.path=value` sets."""
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key.strip():
            hint = "write --set key.path=value, for example --set timeout=10"
            faults.append(Fault("command line", f'"{key}"', "should be key=value", hint))
            continue
        yield Entry(spelled(tuple(key.strip().split(".")), tree), parsed(text), "command line")

"""Variables in the text of a compose file, filled in as compose itself does.

Source: https://docs.docker.com/reference/compose-file/interpolation/.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_BARE = re.compile(r"[A-Za-z_]\w*")
_BRACED = re.compile(r"([A-Za-z_]\w*)(?::?([-+?]))?")


def filled(text: str, variables: Mapping[str, str]) -> tuple[str, set[str]]:
    """TEXT with its VARIABLES filled in, and the names of those that have no value and need one.

    `$NAME`, `${NAME}` and `${NAME:?message}` need one; `${NAME:-default}` has one, and `${NAME:+other}` is nothing without.
    Defaults may hold variables. `$$` is a dollar sign. An empty value is none.
    """
    parts, missing = list[str](), set[str]()
    while text:
        before, _, text = text.partition("$")
        parts.append(before)
        if text[:1] == "$":
            parts.append("$")
            text = text[1:]
        elif text[:1] == "{":
            inside, text = _inside(text[1:])
            part, lacks = _braced(inside, variables)
            parts.append(part)
            missing |= lacks
        elif found := _BARE.match(text):
            parts.append(variables.get(found[0]) or "")
            missing |= set() if parts[-1] else {found[0]}
            text = text[found.end() :]
    return "".join(parts), missing


def _inside(text: str) -> tuple[str, str]:
    """What stands before the brace that closes, and what comes after it; TEXT begins within."""
    depth = 1
    for at, sign in enumerate(text):
        depth += (sign == "{" and text[at - 1 : at] == "$") - (sign == "}")
        if not depth:
            return text[:at], text[at + 1 :]
    return text, ""


def _braced(inside: str, variables: Mapping[str, str]) -> tuple[str, set[str]]:
    found = _BRACED.match(inside)
    if found is None:
        return "", set()
    name, how, word = found[1], found[2], inside[found.end() :]
    value = variables.get(name) or ""
    if how == "+":
        return filled(word, variables) if value else ("", set())
    if value:
        return value, set()
    return filled(word, variables) if how == "-" else ("", {name})

"""Reading the files that settings come from: TOML, JSON and `.env`; what cannot be read is named with file and line."""

from __future__ import annotations

import io
import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dotenv.parser import parse_stream
from dotenv.variables import parse_variables


class Unreadable(Exception):
    """A file that cannot be used; the text says which one, where and why, and holds nothing of its content."""


def text(path: Path) -> str:
    """Content of the UTF-8 file PATH, without a byte order mark."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unreadable(f"{path}: not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise Unreadable(f"{path}: cannot be read ({(error.strerror or str(error)).lower()})") from None


def toml(path: Path) -> dict[str, Any]:
    """The tables of the TOML file PATH."""
    try:
        return tomllib.loads(text(path))
    except tomllib.TOMLDecodeError as error:
        # Before Python 3.14 the position stands only in the message.
        found = re.match(r"(?s)(?P<problem>.*?) \(at (?:line (?P<line>\d+), column \d+|end of document)\)", str(error))
        line = f":{found['line']}" if found and found["line"] else ""
        raise Unreadable(f"{path}{line}: broken TOML: {_lower(found['problem'] if found else str(error))}") from None


def config(path: Path) -> dict[str, Any]:
    """The object in the JSON file PATH."""
    try:
        content = json.loads(text(path))
    except json.JSONDecodeError as error:
        raise Unreadable(f"{path}:{error.lineno}: broken JSON: {_lower(error.msg)}") from None
    except RecursionError:
        raise Unreadable(f"{path}: broken JSON: nested too deep") from None
    if not isinstance(content, dict):
        raise Unreadable(f"{path}:1: broken JSON: an object is expected, this is {naming(content)}")
    return content


def env(path: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of the `.env` file PATH; `${NAME}` in a value is taken from ENVIRON and the lines above."""
    found: dict[str, str] = {}
    for binding in parse_stream(io.StringIO(text(path))):
        if binding.error:
            written = binding.original.string
            line = binding.original.line + written[: len(written) - len(written.lstrip())].count("\n")
            raise Unreadable(f"{path}:{line}: broken line: NAME=value is expected")
        if binding.key is not None and binding.value is not None:
            known = {**environ, **found}
            found[binding.key] = "".join(atom.resolve(known) for atom in parse_variables(binding.value))
    return found


def naming(value: Any) -> str:
    """The type of VALUE as people call it."""
    names = {bool: "true or false", int: "a number", float: "a number", str: "text", type(None): "null"}
    return names.get(type(value)) or ("a table" if isinstance(value, Mapping) else "a list")


def _lower(problem: str) -> str:
    return problem[:1].lower() + problem[1:]

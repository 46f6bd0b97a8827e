"""Writes `run.json`: the whole record of a run, versioned, described by `record.schema.json` beside this file."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from pytest_runbook.model import RunRecord, members

from runbook_reports.files import write

NAME = "record"
FILE = "run.json"
SCHEMA_FILE = Path(__file__).with_name("record.schema.json")
_JSON = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=members)


def render(record: RunRecord, folder: Path) -> list[Path]:
    """Write RECORD to `FOLDER/run.json`."""
    # A lone surrogate, which UTF-8 cannot carry, becomes its backslash escape: in a JSON string that is the same.
    return [write(folder / FILE, text(record).encode("utf-8", "backslashreplace"))]


def text(record: RunRecord) -> str:
    """RECORD as JSON: what `RunRecord.to_json` holds, one line per key and per result, for grep and diff."""
    return "{\n" + ",\n".join(_lines(record)) + "\n}\n"


def _lines(record: RunRecord) -> Iterator[str]:
    for field in fields(record):
        value = getattr(record, field.name)
        many = field.name == "results" and value
        value = "[\n" + ",\n".join(map(_dumps, value)) + "\n]" if many else _dumps(value)
        yield f"{_dumps(field.name)}: {value}"


def _dumps(value: Any) -> str:
    try:
        return _JSON.encode(value)
    except (
        ValueError
    ):  # not a number, or infinity: JSON has neither, and other languages refuse Python's words for them
        return _JSON.encode(_finite(value))


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else _finite(members(value))

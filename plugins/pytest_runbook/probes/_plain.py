"""Answers of probes as JSON-safe values of bounded size: what the journal keeps of a call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import date
from decimal import Decimal
from typing import Any

ITEMS = 20
"""Items of a collection that evidence keeps; the rest is counted."""
TEXT = 500
"""Characters of a text that evidence keeps."""


def plain(value: Any) -> Any:
    """VALUE (dataclasses, mappings, collections, scalars) with JSON's types only, capped."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return shortened(value)
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, date):
        return value.isoformat()
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return _capped([(str(key), plain(item)) for key, item in list(value.items())[:ITEMS]], len(value))
    if isinstance(value, list | tuple | set | frozenset):
        kept: list[Any] = [plain(item) for item in list(value)[:ITEMS]]
        return kept if len(value) <= ITEMS else [*kept, f"… {len(value) - ITEMS} more"]
    return shortened(str(value))


def shortened(text: str, limit: int = TEXT) -> str:
    """TEXT, cut after LIMIT characters with a note of what is missing."""
    return text if len(text) <= limit else f"{text[:limit]}… {len(text) - limit} characters more"


def _capped(pairs: list[tuple[str, Any]], total: int) -> dict[str, Any]:
    return dict(pairs if total <= ITEMS else [*pairs, ("…", f"{total - ITEMS} more")])

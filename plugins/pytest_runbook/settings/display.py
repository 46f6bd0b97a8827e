"""Settings for people and for JSON: values as they were written, secrets masked."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, SecretBytes, SecretStr

from pytest_runbook import clock
from pytest_runbook.evidence.redaction import MASK
from pytest_runbook.settings.secrets import forms, mask

if TYPE_CHECKING:
    from pytest_runbook.settings.load import Loaded


def displayed(loaded: Loaded) -> dict[str, dict[str, Any]]:
    """Dotted key to `{"value": …, "origin": …}`, JSON-safe, without secrets."""
    values = loaded.values()
    return {key: {"value": shown(values[key], loaded.secrets), "origin": loaded.origins[key]} for key in values}


def shown(value: Any, secrets: frozenset[str] = frozenset()) -> Any:
    """VALUE as JSON-safe data; of a secret address the secret part is masked, any other secret as a whole."""
    match value:
        case SecretStr() | SecretBytes():
            return _secret(str(value.get_secret_value()))
        case str() | PurePath():
            return mask(str(value), secrets)
        case datetime():
            return clock.iso(value)
        case date():
            return value.isoformat()
        case BaseModel():
            return {key: shown(getattr(value, key), secrets) for key in type(value).model_fields}
        case Mapping():
            return {str(key): shown(inner, secrets) for key, inner in value.items()}
        case list() | tuple() | set() | frozenset():
            return [shown(inner, secrets) for inner in value]
    return value


def _secret(text: str) -> str:
    masked = mask(text)
    # An address that has no password in it is no secret.
    return masked if masked != text or not text or not [*forms(text)] else MASK

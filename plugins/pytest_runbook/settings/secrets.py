"""Tells secrets from other values, by their name, their place and their form, and masks them in what people read."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from pytest_runbook.evidence.redaction import FOLDERS, MASK, SHORTEST, STEMS, is_folder
from pytest_runbook.settings.tables import leaves

# Whole words of a name, split at `_`, `-` and `.`, or its end.
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_STEMS = "|".join(STEMS)
_NAMED = re.compile(
    rf"(?i)(^|[_.-])({_STEMS}|pass|credentials?|webhook|dsn)s?([_.-]|$)"
    rf"|({_STEMS}|credentials?|webhook([_.-]ur[li])?|dsn)$"
    r"|(^|[_.-])(access|api|auth|encryption|jwt|private|session|signing)[_.-]?key$"
)
_KEY = re.compile(r"(?i)(^|[_.-])key$")
_PLAIN = re.compile(r"[a-z]+(_[a-z]+)*|(/[\w.-]+)+")
"""What stands under the name of some other key and opens nothing: a column, a field, the path of a file."""
_ABOUT = re.compile(r"(?i)(_file|_path|_dir|_id|_name|_type|_algorithm|_length|_expiry|_ttl|_age|_timeout)$")
"""Names that speak about a secret without holding one."""
_ORDINARY = {
    *("true", "false", "none", "null", "enabled", "disabled", "password", "passwd", "secret", "token", "changeme"),
    *("default", "example", "test", "admin", "root", "user", "localhost", "postgres", "redis", "bearer", "basic"),
}
"""Words that anybody can guess: masking them would blank ordinary sentences and protect nothing."""

_USERINFO = re.compile(r"(?P<head>(?<=[a-zA-Z0-9+.-])://[^\s/?#@:]*:)(?P<password>[^\s/?#]*)(?=@)")
# A password that holds `/`, `?` or `#` unquoted makes a bad address, and is no less secret; a port before a path is none.
_BAD_USERINFO = re.compile(r"(?P<head>(?<=[a-zA-Z0-9+.-])://[^\s/?#@:]*:)(?!\d+[/?#])(?P<password>\S{0,4000})(?=@)")
_TOKEN_USER = re.compile(r"(?P<head>https?://)(?P<password>[^\s/?#@:]{8,})(?=@)")
_PARAMETER = re.compile(
    rf"(?i)(?P<head>(?:^|[?&;\s])(?:ssl)?(?:{_STEMS}|api_key)\s*=\s*)(?P<password>'[^']*'|[^\s&;']+)"
)
_FORMS = (_USERINFO, _BAD_USERINFO, _TOKEN_USER, _PARAMETER)


def secret_name(name: str) -> bool:
    """Whether NAME, a variable or a key, is that of a secret: DB_PASSWORD, jwt_secret, SLACK_WEBHOOK_URL."""
    words = _CAMEL.sub("_", name)
    return name not in FOLDERS and bool(_NAMED.search(words) or _KEY.search(words)) and not _ABOUT.search(words)


def is_secret(name: str, value: Any) -> bool:
    """Whether VALUE is a secret because of its NAME: `class_key = "class"` is none."""
    if name in FOLDERS:
        return not is_folder(name, value)
    certain = bool(_NAMED.search(_CAMEL.sub("_", name)))
    return secret_name(name) and (certain or not (isinstance(value, str) and _PLAIN.fullmatch(value)))


def inside(text: str) -> Iterator[str]:
    """Passwords that stand in TEXT, an address or a connection string: as written, and percent-decoded."""
    for form in _FORMS:
        for found in form.finditer(text):
            password = found["password"].strip("'")
            yield from (password, unquote(password))


def forms(value: str) -> Iterator[str]:
    """VALUE, a secret, and what of it could be shown alone: the password of an address, the token of a header."""
    within = [*inside(value)]
    if within or ("://" in value and not value.startswith("http")):
        yield from within  # the rest of the address is no secret, and evidence without it is poor
        return
    yield value
    scheme, _, token = value.partition(" ")
    if token and scheme.lower() in ("bearer", "basic", "token", "apikey"):
        yield token
        yield from _basic(token) if scheme.lower() == "basic" else ()


def _basic(token: str) -> Iterator[str]:
    try:
        yield base64.b64decode(token, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return


def texts(value: Any, secret: bool) -> Iterator[str]:
    """Secrets in VALUE, a text or a list of them, which is one itself when SECRET."""
    for text in value if isinstance(value, list) else [value]:
        if isinstance(text, str):
            yield from forms(text) if secret else inside(text)


def named(values: Mapping[str, Any]) -> Iterator[str]:
    """Secrets in VALUES, variables or nested tables: those with a secret's name, and passwords in addresses."""
    for path, value in leaves(values):
        yield from texts(value, bool(path) and is_secret(path[-1], value))


def kept(candidates: Iterable[str]) -> frozenset[str]:
    """CANDIDATES that are worth hiding: long enough, and no ordinary word."""
    return frozenset(text for text in candidates if len(text) >= SHORTEST and text.lower() not in _ORDINARY)


def mask(text: str, secrets: Iterable[str] = ()) -> str:
    """TEXT with `****` for the passwords in its addresses and for each of SECRETS."""
    for form in _FORMS:
        text = form.sub(lambda found: found["head"] + MASK, text)
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text

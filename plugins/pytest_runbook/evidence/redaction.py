"""Secrets stop here: every writer passes its text through one `Redactor`.

It holds the exact values that are known as secrets, in the encodings in which they travel, and a few patterns for secrets
that nobody told it about.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any
from urllib.parse import quote, quote_plus

MASK = "****"
SHORTEST = 4
"""Shorter values are not masked: they would blacken ordinary text. A check refuses such secrets in the first place."""

SHORT = 200
"""Characters up to which a clean text is remembered: ids, keys and messages come again and again."""

PATTERNS = (
    (re.compile(r"([a-z0-9+.-]{1,30}://[^\s/:@]*:)[^\s/@]+(?=@)", re.IGNORECASE), rf"\g<1>{MASK}"),
    (re.compile(r"(\b(?:bearer|basic)\s+)[a-z0-9._~+/=-]{8,}", re.IGNORECASE), rf"\g<1>{MASK}"),
    (
        re.compile(
            r"((?:password|passwd|secret|token|(?:api|access|private|encryption)_?key)\w*[\"']?\s*[=:]\s*[\"']?)"
            r"(?!\*{4}|none\b|null\b|true\b|false\b)[^\s\"',;&<>)}\]]{4,}",
            re.IGNORECASE,
        ),
        rf"\g<1>{MASK}",
    ),
    # As SQL has it: `ALTER ROLE web PASSWORD 'x'`.
    (re.compile(r"(\bpassword\s+e?')(?!\*{4}')[^']+", re.IGNORECASE), rf"\g<1>{MASK}"),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL), MASK),
)
_HINTS = (
    *(
        "://",
        "bearer",
        "basic",
        "passw",
        "secret",
        "token",
        "_key",
        "apikey",
        "accesskey",
        "privatekey",
        "encryptionkey",
    ),
    "-----begin",
)
"""A text that one of the patterns fits holds one of these, in any case: to look for words is ten times as quick."""


class Redactor:
    """Replaces secrets in text and in JSON-like values."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """SECRETS are raw values; those shorter than `SHORTEST` are left out."""
        variants = {form for secret in secrets if len(secret) >= SHORTEST for form in encodings(secret)}
        longest_first = sorted(variants, key=lambda form: (-len(form), form))
        self._short = lru_cache(maxsize=8192)(self._masked)
        self._forms = tuple(longest_first)
        self._known = re.compile("|".join(map(re.escape, longest_first)))

    def text(self, text: str) -> str:
        """TEXT without secrets."""
        return self._short(text) if len(text) <= SHORT else self._masked(text)

    def _masked(self, text: str) -> str:
        if not text.isascii():
            # Half a character, as in a file name that is not UTF-8, fits into no file and no message.
            text = text.encode("utf-8", "backslashreplace").decode()
        if self._holds_known(text):
            text = self._known.sub(MASK, text)
        if _hints(text):
            for pattern, replacement in PATTERNS:
                text = pattern.sub(replacement, text)
        return text

    def suspects(self, text: str) -> bool:
        """Whether something in TEXT, which may be JSON, could have to be replaced: quick, and right when it says no."""
        return not text.isascii() or self._holds_known(text) or _hints(text)

    def _holds_known(self, text: str) -> bool:
        return any(map(text.__contains__, self._forms))

    def value(self, value: Any) -> Any:
        """VALUE (nested dicts, lists, tuples, scalars) without secrets; what JSON cannot hold becomes text."""
        match value:
            case str():
                return self.text(value)
            case None | bool() | int() | float():
                return value
            case bytes():
                return self.text(value.decode("utf-8", "replace"))
            case dict():
                return {self.text(str(key)): self.value(item) for key, item in value.items()}
            case list() | tuple() | set() | frozenset():
                return [self.value(item) for item in value]
            case _:
                return self.text(str(value))

    def exception(self, error: BaseException) -> None:
        """Take secrets out of the arguments of ERROR and of what caused it: reporters print them on their own."""
        seen: set[int] = set()
        pending: list[BaseException | None] = [error]
        while pending:
            one = pending.pop()
            if one is None or id(one) in seen:
                continue
            seen.add(id(one))
            self._arguments(one)
            pending += [one.__cause__, one.__context__]

    def _arguments(self, error: BaseException) -> None:
        clean = tuple(self.text(argument) if isinstance(argument, str) else argument for argument in error.args)
        if clean != error.args:
            error.args = clean


def _hints(text: str) -> bool:
    return any(map(text.lower().__contains__, _HINTS))


def encodings(secret: str) -> Iterator[str]:
    """The forms in which SECRET travels: as it is, URL-quoted, JSON- and repr-escaped, in base64 at any offset."""
    yield secret
    yield quote(secret, safe="")
    yield quote_plus(secret)
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield repr(secret)[1:-1]
    yield from _base64(secret.encode())


def _base64(raw: bytes) -> Iterator[str]:
    """The part of base64 text that depends on RAW alone, for each of the three offsets at which it may begin."""
    for offset in range(3):
        padded = b"\0" * offset + raw
        first = (offset * 8 + 5) // 6
        last = (len(padded) * 8) // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            core = encode(padded).decode()[first:last]
            if len(core) >= 6:
                yield core

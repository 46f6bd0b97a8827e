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

_WORD = r"(?:password|passwd|\bpwd(?!\s*[=:]\s*/)|_pass\b|secret|token|(?:api|access|private|encryption)[-_]?key)"
_NAME = rf"{_WORD}(?!\w{{0,40}}_(?:file|path|dir)\b)\w{{0,40}}"
"""The name of a secret, from the word on that shows it: of none that says where one lies, nor of the shell's PWD."""
_QUOTE = r"(?P<quote>\\*[\"'])"
"""Around a name or a value; in JSON inside of JSON, as the logs of most services are, a backslash stands before it."""
_NOTHING = r"(?!\*{4}|none\b|null\b|true\b|false\b)"
"""What is no secret: one that is masked already, or a word of the language."""
_QUOTED = rf"{_NOTHING}(?:(?!(?<!\\)(?P=quote))[^\r\n]){{1,4000}}(?=(?P=quote))"
"""What stands between a `_QUOTE` and the same one."""
_COOKIE = r"\b(?:set-)?cookie\\*[\"']?\s*[=:]\s*"
KEY = re.compile(rf"\w{{0,60}}{_WORD}\d{{0,3}}", re.IGNORECASE)
"""The whole name of a secret, as a key of a value."""
_HEADED = (
    # The password of an address may hold an `@` as well.
    r"([a-z0-9+.-]{1,30}://[^\s/:@]*:)[^\s/@]+(?:@[^\s/@\"'<>,;]+)*(?=@)",
    r"(\b(?:bearer|basic)\s+)[a-z0-9._~+/=-]{8,}",
    # A cookie as it is sent, where a value may stand in quotes; in quotes itself; and a list of such.
    rf"({_COOKIE})(?![\[\s]|\\*[\"']|\*{{4}})(?:[^\r\n\"'\\]|(?<==)\\*[\"'][^\r\n\"']*\\*[\"']?)+",
    rf"({_COOKIE}{_QUOTE}){_QUOTED}",
    rf"({_COOKIE}\[\s*{_QUOTE})(?!\*{{4}})[^\]\r\n]+(?=(?P=quote)\s*\])",
    # In quotes all of it is the secret, spaces too, up to the same quote.
    rf"({_NAME}\\*[\"']?\s*[=:]\s*{_QUOTE}){_QUOTED}",
    rf"({_NAME}\\*[\"']?\s*[=:]\s*\\*[\"']?){_NOTHING}(?:[^\s\"'\\,;&<>)}}\]]|\\+(?![\\\"'])){{4,}}",
    # As programs are told, and as Redis' own configuration has it.
    r"((?:\brequirepass|\bmasterauth|--[a-z-]{0,30}(?:password|secret|token))\s+[\"']?)(?!\*{4}|-)[^\s\"']{4,}",
    # As SQL has it: `ALTER ROLE web PASSWORD 'x'`.
    r"(\bpassword\s+e?')(?!\*{4}')[^']+",
)
"""Secrets after what shows that they are some, which stays."""
PATTERNS = (
    *((re.compile(pattern, re.IGNORECASE), rf"\g<1>{MASK}") for pattern in _HEADED),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL), MASK),
)
_HINTS = (
    *("://", "bearer", "basic", "passw", "pwd", "_pass", "secret", "token", "_key", "-key", "apikey", "accesskey"),
    *("privatekey", "encryptionkey", "cookie", "requirepass", "masterauth", "-----begin"),
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
                return {self.text(str(key)): self._named(str(key), item) for key, item in value.items()}
            case list() | tuple() | set() | frozenset():
                return [self.value(item) for item in value]
            case _:
                return self.text(str(value))

    def _named(self, name: str, value: Any) -> Any:
        """VALUE without secrets; it is one, when its NAME says so."""
        return MASK if isinstance(value, str) and len(value) >= SHORTEST and KEY.fullmatch(name) else self.value(value)

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

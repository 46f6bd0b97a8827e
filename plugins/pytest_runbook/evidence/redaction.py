"""Secrets stop here: every writer passes its text through one `Redactor`.

It masks the secrets that are known (see `known`), and by a few patterns those that nobody told it about.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from pytest_runbook.evidence.known import Known

MASK = "****"
SHORTEST = 4
"""Shorter values are not masked: they would blacken ordinary text. A check refuses such secrets in the first place."""

SHORT = 200
"""Characters up to which a clean text is remembered: ids, keys and messages come again and again."""

STEMS = ("password", "passwd", "passphrase", "pwd", "secret", "token")
"""Words that show a secret wherever they stand in a name."""
FOLDERS = ("PWD", "OLDPWD")
"""Where a shell is and was; any other name in which PWD stands is that of a password."""

_IS = r"(?:\\*[\"']\s*=>|\\*[\"']?\s*(?:=|:(?!:\w{1,99}: )))\s*"
"""Between a name, which may stand in quotes, and its value; not between the file of a check and its name."""
_FOLDER = rf"(?-i:(?<=\bPWD)|(?<=\bOLDPWD)){_IS}\\*[\"']?/"
_WORD = rf"(?:(?:{'|'.join(STEMS)})(?!{_FOLDER})|_pass\b|(?:api|access|private|encryption)[-_]?key)"
_SENTENCE = r"_(?:is|are|has|have|may|can|does)_"
_NAME = rf"{_WORD}(?!\w{{0,40}}(?:_(?:file|path|dir)\b|{_SENTENCE}))\w{{0,40}}+"
"""The name of a secret, from the word on that shows it: of none that says where one lies, nor of a shell's folder, nor of a
check, which is a sentence.
"""
_QUOTE = r"(?P<quote>\\*[\"'])"
"""Around a name or a value; in JSON inside of JSON, as the logs of most services are, a backslash stands before it."""
_NOTHING = r"(?!\*{4}|(?:none|null|true|false)(?![.-]?\w))"
"""What is no secret: one that is masked already, or a word of the language."""
_UNQUOTED = r"(?:(?!(?<!\\)(?P=quote))[^\r\n])"
"""A character of what stands between a `_QUOTE` and the same one."""

# The headers of HTTP that are secrets, each also by the name that CGI and WSGI give it; in an escaped text a `\n` may stand
# right before them.
_START = r"(?:\b|(?<=\\[nrt]))(?:http_)?"
_COOKIE = rf"{_START}(?:set[-_])?cookie"
_AUTHORIZATION = rf"{_START}(?:proxy[-_])?authorization"
_HEADER = rf"(?:{_COOKIE}s?|{_AUTHORIZATION})"
_SCHEME = r"(?:basic|bearer|token|apikey|negotiate|ntlm)"
_SIGNED = r"(?:digest|oauth|hawk|signature|aws4-hmac-sha256)"
"""Schemes of an authorization: those with a token, and those with a list of parameters."""
_WITH = rf"(?:{_IS}|\\*[\"']\s*,\s*(?!b?\\*[\"'][a-z-]*\\*[\"']))"
"""Between a header and its value; also in a pair of both, but not where names of headers are listed."""
_LINE = r"(?:[^\r\n\"'\\]|\\++(?![\"'rn])|(?<==)\\*[\"'][^\r\n\"']*\\*[\"']?|\\*[\"'](?=[\w%+/=-]|;\s?[\w.-]{1,60}=))++"
"""A header as it is sent: up to the end of the line, or of the text in quotes in which it stands."""

KEY = re.compile(rf"[\w-]{{0,60}}{_WORD}\d{{0,3}}", re.IGNORECASE)
"""The whole name of a secret, as a key of a value."""
HEADER = re.compile(_HEADER, re.IGNORECASE)
"""The whole name of a header that is a secret, or of a table of cookies."""
_NAMES = (*STEMS, "_pass", "_key", "-key", "apikey", "accesskey", "privatekey", "encryptionkey")
_HEADERS = ("cookie", "authorization")
_HEADED = (
    # The password of an address may hold an `@` as well.
    (("://",), r"((?<=[a-z0-9+.-])://[^\s/:@]*:)[^\s/@]+(?:@[^\s/@\"'<>,;]+)*(?=@)"),
    (
        ("bearer", "basic", "authorization"),
        rf"((?:\b(?:bearer|basic)|{_AUTHORIZATION}{_IS}{_SCHEME})\s+)[a-z0-9._~+/=-]{{8,}}",
    ),
    # A header as it is sent, where a value may stand in quotes; and in quotes itself.
    (_HEADERS, rf"({_COOKIE}{_IS}(?!\s|\[|\(?[{{(]?b?\\*[\"'])|{_AUTHORIZATION}{_IS}{_SIGNED}\s+){_LINE}"),
    (
        _HEADERS,
        rf"({_HEADER}{_WITH}b?{_QUOTE}(?:(?:{_SCHEME}|{_SIGNED})\s+)?+)(?=\S|[^\r\n]{{1,4000}}(?P=quote)){_UNQUOTED}++",
    ),
    # In quotes all of it is the secret, spaces too, up to the same quote.
    (_NAMES, rf"({_NAME}{_IS}{_QUOTE}){_NOTHING}{_UNQUOTED}{{1,4000}}(?=(?P=quote))"),
    (_NAMES, rf"({_NAME}{_IS}\\{{0,40}}[\"']?){_NOTHING}(?:[^\s\"'\\,;&<>)}}\]]|\\++(?![\"'])){{4,}}"),
    # As programs are told, and as Redis' own configuration has it.
    (
        ("requirepass", "masterauth", "password", "secret", "token"),
        r"((?:\brequirepass|\bmasterauth|--[a-z-]{0,30}(?:password|secret|token))\s+[\"']?)(?!\*{4}|-)[^\s\"']{4,}",
    ),
    # As SQL has it: `ALTER ROLE web PASSWORD 'x'`.
    (("password",), r"(\bpassword\s+e?')(?!\*{4}')[^']+"),
    # A cookie as libraries show it.
    (("cookie", "morsel"), r"(<(?:\w{0,20}cookie|morsel):?\s+)[^\r\n>]+"),
    # The password that curl is told, and addresses that anybody may use who knows them: signed ones, and webhooks.
    (
        ("curl",),
        r"(\bcurl\s[^\r\n]{0,200}?(?:-u\s*|--user[\s=]+)(?P<quote>[\"'])?[^\s:\"']{1,100}:)"
        r"(?!\*{4})(?(quote)[^\"'\r\n]+|[^\s\"']+)",
    ),
    (("-signature",), rf"(\bx-(?:amz|goog)-signature{_IS}[\"']?)[0-9a-f]{{8,}}"),
    (("hooks.slack.com",), r"(\bhooks\.slack\.com/(?:services|triggers|workflows)/)[\w/-]{8,}"),
)
"""Secrets after what shows that they are some, which stays."""
_KEYS = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)
PATTERNS = (
    (("-----begin",), _KEYS, MASK),
    *((hints, re.compile(pattern, re.IGNORECASE), rf"\g<1>{MASK}") for hints, pattern in _HEADED),
)
"""Each after words of which a text that it fits holds one, in any case: to look for words is ten times as quick."""
_HINTS = frozenset(hint for hints, _, _ in PATTERNS for hint in hints)

_OPENED = re.compile(rf"{_HEADER}{_WITH}(?=[\[{{]|\(\s*(?:[\[({{]|b?\\*[\"']))", re.IGNORECASE)
"""Before a list, a tuple or a table of a header's values."""
_MARK = re.compile(r"\\+[\"']?|[\"'\[\](){}]")
_FAR = 16_000
"""Characters within which brackets are closed; what is not, in a text that was cut short, is masked up to there."""


class Redactor:
    """Replaces secrets in text and in JSON-like values."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """SECRETS are raw values; those shorter than `SHORTEST` are left out."""
        self._short = lru_cache(maxsize=8192)(self._masked)
        self._known = Known(secrets, SHORTEST)

    def text(self, text: str) -> str:
        """TEXT without secrets."""
        return self._short(text) if len(text) <= SHORT else self._masked(text)

    def _masked(self, text: str) -> str:
        if not text.isascii():
            # Half a character, as in a file name that is not UTF-8, fits into no file and no message.
            text = text.encode("utf-8", "backslashreplace").decode()
        if self._holds_known(text):
            text = self._known.sub(MASK, text)
        lower = text.lower()
        if _holds(lower, _HINTS):
            text = _emptied(text) if _holds(lower, _HEADERS) else text
            for hints, pattern, replacement in PATTERNS:
                text = pattern.sub(replacement, text) if _holds(lower, hints) else text
        return text

    def suspects(self, text: str) -> bool:
        """Whether something in TEXT, which may be JSON, could have to be replaced: quick, and right when it says no."""
        return not text.isascii() or self._holds_known(text) or _holds(text.lower(), _HINTS)

    def _holds_known(self, text: str) -> bool:
        return _holds(text, self._known.marks)

    def value(self, value: Any) -> Any:
        """VALUE (nested dicts, lists, tuples, scalars) without secrets; what JSON cannot hold becomes text."""
        match value:
            case str():
                return self.text(value)
            case None | bool() | int() | float():
                return value
            case bytes():
                return self.text(_decoded(value))
            case dict():
                return {self.text(_decoded(key)): self._named(_decoded(key), item) for key, item in value.items()}
            case [str() | bytes() as name, item] if HEADER.fullmatch(_decoded(name)) and not _is_word(item):
                return [self.value(name), self._hidden(item)]
            case list() | tuple() | set() | frozenset():
                return [self.value(item) for item in value]
            case _:
                return self.text(str(value))

    def _named(self, name: str, value: Any) -> Any:
        """VALUE without secrets; it is one, when its NAME says so."""
        if HEADER.fullmatch(name):
            return self._hidden(value)
        secret = isinstance(value, str | bytes) and KEY.fullmatch(name) and not is_folder(name, value)
        return self._hidden(value) if secret else self.value(value)

    def _hidden(self, value: Any) -> Any:
        """VALUE, a secret or a nested table of some, with its texts masked; figures and flags are none."""
        match value:
            case str() | bytes() if len(value) >= SHORTEST:
                return MASK
            case dict():
                return {self.text(_decoded(key)): self._hidden(item) for key, item in value.items()}
            case list() | tuple() | set() | frozenset():
                return [self._hidden(item) for item in value]
            case _:
                return self.value(value)

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


def _holds(text: str, parts: Iterable[str]) -> bool:
    return any(map(text.__contains__, parts))


def _decoded(text: Any) -> str:
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)


def _is_word(value: Any) -> bool:
    return isinstance(value, str | bytes) and bool(re.fullmatch(r"[A-Za-z-]*", _decoded(value)))


def is_folder(name: str, value: Any) -> bool:
    """Whether VALUE is the path of a folder in one of a shell's own variables, whose NAME looks like a secret's."""
    return name in FOLDERS and _decoded(value).startswith("/")


def _emptied(text: str) -> str:
    """TEXT with what stands in brackets after the name of a header masked, up to the bracket that closes the first."""
    parts, done = [], 0
    while found := _OPENED.search(text, done):
        inside = found.end() + 1
        end, quote = _closed(text, found.end())
        short = end - inside < SHORTEST
        parts += [text[done:inside], text[inside:end] if short else f"{quote}{MASK}{quote}"]
        done = end
    return "".join([*parts, text[done:]])


def _closed(text: str, start: int) -> tuple[int, str]:
    """Where the bracket at START of TEXT is closed, at most `_FAR` on, and the first quote inside."""
    depth, first, quote = 0, "", ""
    for found in _MARK.finditer(text, start, start + _FAR):
        mark = found[0]
        if mark[-1] in "\"'":
            first = first or mark
            quote = mark if not quote else "" if mark == quote else quote
        elif not quote and mark[-1] != "\\":
            depth += 1 if mark in "[({" else -1
            if not depth:
                return found.start(), first
    return min(start + _FAR, len(text)), first

"""Finds known secrets in a text: as they are, in the encodings in which they travel, and cut off at either end.

A text is searched as it is, and again as somebody reads it who undoes all its escapes: of the many ways to write a secret in
HTML, in JSON, in an address or between quotes, also of one inside another, none has to be listed.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from operator import eq
from urllib.parse import unquote

PIECE = 8
"""Characters from which the beginning or the end of a secret is masked where the rest of it was cut off."""
LONG = 16
"""Characters from which that is so whatever they are; fewer may be a name or a date, unless they are letters and digits."""
MARK = 3
"""Characters that tell a text in which a secret may be from most others."""
REACH = 12
"""Characters that one may take in a text that escapes it, once and again."""
DEPTH = 4
"""How often escapes are undone: a page in JSON, in an answer in JSON, in a log in JSON."""

_ESCAPED = re.compile(
    r"(?P<entity>&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z]{2,8});)"
    r"|(?P<percent>(?:%[0-9a-f]{2})+)"
    r"|\\++(?:u(?P<unicode>[0-9a-f]{4})|x(?P<byte>[0-9a-f]{2})|(?P<letter>(?-i:[nrt])))"
    # A quote that is escaped, doubled, or in the shell's way ends a text and begins another: one quote.
    r"|(?P<quotes>\\++[\"']|[\"'](?:\\*+[\"'])+)"
    r"|(?P<doubled>[^\w\s\\])(?P=doubled)+"
    r"|(?P<backslash>\\++)",
    re.IGNORECASE,
)
_LETTERS = {"n": "\n", "r": "\r", "t": "\t"}
_HOST = re.compile(r"[a-z][a-z0-9+.-]*:/+[^/?#]*/?", re.IGNORECASE)
"""What is no secret of one that is an address."""
_GOES_ON = re.compile(r"[-_./@+]?[a-z0-9]", re.IGNORECASE)
"""What stands after the beginning of something else, which was not cut off."""
_COMES_FROM = re.compile(r"[-_./@+]?(?![0-9a-f]{1,4}[ux]?(?![a-z0-9]))[a-z0-9]", re.IGNORECASE)
"""What stands, from right to left, before the end of something else; of an escape that was cut through, some is left."""


class Known:
    """Known secrets, to be masked wherever they stand."""

    def __init__(self, secrets: Iterable[str], shortest: int) -> None:
        """SECRETS are raw values; those of less than SHORTEST characters are left out."""
        kept = [secret for secret in secrets if len(secret) >= shortest]
        self._written = _Forms(kept, encodings)
        self._read = _Forms(kept, lambda secret: _readings(secret, shortest))
        self._reach = REACH * max(map(len, kept), default=0)
        self.marks = self._written.marks
        """A text without any of these holds no secret: to look for them is quick."""

    def sub(self, mask: str, text: str) -> str:
        """TEXT with MASK for each secret, and for what was left of one that was cut off."""
        parts, done = [], 0
        for start, end in _joined(self._spans(text)):
            parts += [text[done:start], mask]
            done = end
        return "".join([*parts, text[done:]])

    def _spans(self, text: str) -> Iterator[tuple[int, int]]:
        yield from self._written.spans(text)
        for first, last in _joined(self._near(text)):
            read, places = unescaped(text[first:last])
            yield from ((first + places[start], first + places[end]) for start, end in self._read.spans(read))

    def _near(self, text: str) -> Iterator[tuple[int, int]]:
        """The parts of TEXT in which a secret may be escaped; to undo the escapes of all the rest would take long."""
        for mark in self.marks:
            for found in re.finditer(re.escape(mark) or r"(?s:.+)", text):
                yield max(found.start() - self._reach, 0), found.end() + self._reach


class _Forms:
    """The forms of some secrets that are looked for in a text."""

    def __init__(self, secrets: Iterable[str], forms: Callable[[str], tuple[set[str], set[str]]]) -> None:
        """FORMS gives those of a secret: those in which its letters stay, and those in other letters."""
        beginnings, endings = set(), set()
        for secret in secrets:
            # A secret of several lines is a key: the redactor knows all of them by the first line, which is no secret.
            whole = "\n" in secret.strip()
            written, recoded = forms(secret)
            beginnings |= {_form(form, PIECE, whole) for form in written}
            beginnings |= {_form(form, LONG, whole) for form in recoded}
            endings |= {_form(form[::-1], PIECE, whole) for form in written}
        self._beginnings, self._endings = beginnings, endings
        self.marks = tuple({form.mark for form in beginnings} | {form.mark[::-1] for form in endings})

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Where in TEXT the secrets stand, or pieces of them."""
        for form in self._beginnings:
            yield from form.spans(text, _GOES_ON)
        backwards, length = text[::-1], len(text)
        for form in self._endings:
            yield from ((length - end, length - start) for start, end in form.spans(backwards, _COMES_FROM))


@dataclass(frozen=True, slots=True)
class _Form:
    """One form of a secret, from left to right; or from right to left, for a text that is read so."""

    text: str
    head: str
    """The shortest beginning that is masked where the rest was cut off."""
    mark: str
    """What stands in a text with the head however it is escaped."""

    def spans(self, text: str, more: re.Pattern[str]) -> Iterator[tuple[int, int]]:
        """Where in TEXT it stands, or a beginning of it behind which there is no MORE."""
        start = text.find(self.head)
        while start >= 0:
            end = start + sum(takewhile(bool, map(eq, self.text, text[start : start + len(self.text)])))
            whole = end - start == len(self.text)
            if whole or not more.match(text, end):
                yield start, end
            start = text.find(self.head, end if whole else start + 1)


def _form(text: str, piece: int, whole: bool) -> _Form:
    """The form TEXT; its head has PIECE characters or more, and is all of it if only the WHOLE is a secret."""
    host = _HOST.match(text)
    public = host.end() if host else 0
    ends = () if whole else range(public + piece, min(public + LONG + 1, len(text)))
    heads = [text[:end] for end in ends if _tells(text[public:end])] or [text]
    head = next((head for head in heads if len(_mark(head)) >= MARK), heads[0])
    return _Form(text, head, _mark(head))


def _mark(head: str) -> str:
    return max(re.findall(r"[A-Za-z0-9]+", head), key=len, default="")


def _tells(piece: str) -> bool:
    """Whether PIECE of a secret is hardly an ordinary word or a date."""
    return len(piece) >= LONG or (any(map(str.isdigit, piece)) and any(map(str.isalpha, piece)))


def _joined(spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """SPANS in order, those that overlap as one."""
    last: tuple[int, int] | None = None
    for start, end in sorted(spans):
        if last and start < last[1]:
            last = last[0], max(last[1], end)
            continue
        if last:
            yield last
        last = start, end
    if last:
        yield last


def unescaped(text: str) -> tuple[str, Sequence[int]]:
    """TEXT with its escapes undone, and the place in TEXT of each character of that and of its end."""
    places: Sequence[int] = range(len(text) + 1)
    for _ in range(DEPTH):
        parts: list[str] = []
        taken: list[int] = []
        done = 0
        for found in _ESCAPED.finditer(text):
            meant = _meant(found)
            parts += [text[done : found.start()], meant]
            taken += places[done : found.start()]
            taken += [places[found.start()]] * len(meant)
            done = found.end()
        parts.append(text[done:])
        before, text, places = text, "".join(parts), [*taken, *places[done:]]
        if text == before:
            break
    return text, places


def _meant(found: re.Match[str]) -> str:
    """What FOUND, an escape, stands for."""
    match found.lastgroup:
        case "entity":
            return html.unescape(found[0])
        case "percent":
            return unquote(found[0])
        case "unicode" | "byte" as group:
            return chr(int(found[group], 16))
        case "letter":
            return _LETTERS[found["letter"]]
        case "quotes":
            return found[0].lstrip("\\")[0]
        case "doubled":
            return found["doubled"]
        case _:  # a backslash before something else, which it escapes
            return ""


def encodings(secret: str) -> tuple[set[str], set[str]]:
    """The forms in which SECRET travels and that reading does not make one: with its letters as they are, and with others."""
    raw = secret.encode("utf-8", "surrogatepass")
    written = {secret, secret.replace(" ", "+"), json.dumps(secret)[1:-1]}
    return written, {raw.hex(), raw.hex().upper(), *_base64(raw)}


def _readings(secret: str, shortest: int) -> tuple[set[str], set[str]]:
    """The `encodings` of SECRET in an unescaped text, but those shorter than SHORTEST that are left of odd ones."""
    # Quotes at its ends may have become one with those around it.
    written, recoded = ({unescaped(form)[0].strip("\"'") for form in forms} for forms in encodings(secret))
    return {form for form in written if len(form) >= shortest}, recoded


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

"""Lays styled words out in the columns of a terminal: folded between words, indented, beside a label."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate, groupby

from runbook_reports import wording

Span = tuple[str, str]
"""Words and their style: names of `CODES` with spaces between, or nothing."""
CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "magenta": "35", "cyan": "36"}
"""Parts of a style to what switches them on in a terminal (ECMA-48)."""
_LEFT = " " * 4
"""What stands before a label."""


@dataclass(frozen=True)
class Paragraph:
    """Words that flow together, INDENT columns from the left; the first line has LABEL in front."""

    spans: tuple[Span, ...]
    indent: int = 0
    label: Span = ("", "")

    def lines(self, width: int, color: bool) -> Iterator[str]:
        """The lines at WIDTH columns; COLOR adds ANSI colours."""
        margin = self._margin(color)
        for spans in _folded(self.spans, width - self.indent):
            runs = (
                ("".join(words for words, _ in run), style) for style, run in groupby(spans, key=lambda span: span[1])
            )
            yield f"{margin}{''.join(_painted(run, color) for run in runs)}".rstrip()
            margin = " " * self.indent

    def _margin(self, color: bool) -> str:
        rest = self.indent - len(_LEFT) - len(self.label[0])
        return f"{_LEFT}{_painted(self.label, color)}{' ' * rest}" if self.label[0] else " " * self.indent


def paragraph(*spans: Span, indent: int = 0) -> Paragraph:
    """SPANS, made safe to show, as one paragraph."""
    return Paragraph(tuple((wording.safe(words), style) for words, style in spans), indent)


def labelled(facts: Iterable[tuple[str, str, str]]) -> list[Paragraph]:
    """A paragraph for each of FACTS (label, the label's style, words), the words of all in one column."""
    rows = list(facts)
    indent = len(_LEFT) + max(9, *(len(label) for label, _, _ in rows)) + 2
    return [
        Paragraph(((wording.safe(words), ""),), indent, (wording.safe(label), style)) for label, style, words in rows
    ]


def _folded(spans: Iterable[Span], width: int) -> Iterator[list[Span]]:
    """SPANS as lines of at most WIDTH columns; a word that is wider than a line is broken where the line ends."""
    line: list[Span] = []
    used = 0
    for words, style in spans:
        for number, text in enumerate(words.expandtabs().split("\n")):
            if number:
                yield line
                line, used = [], 0
            for gap, word in re.findall(r"( *)([^ ]+)", text):
                rest = gap + word
                if used and used + _columns(rest) > width:
                    yield line
                    line, used, rest = [], 0, word
                while (end := _fitting(rest, width)) < len(rest):
                    yield [(rest[:end], style)]
                    rest = rest[end:]
                line.append((rest, style))
                used += _columns(rest)
    yield line


def _fitting(text: str, width: int) -> int:
    """How many characters of TEXT fit into WIDTH columns."""
    if _columns(text) <= width:
        return len(text)
    return next(number for number, end in enumerate(accumulate(map(_columns, text))) if end > width)


def _columns(text: str) -> int:
    """Columns that TEXT takes: East Asian characters two, those that combine with others none."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return len(text) + wide - sum(unicodedata.combining(character) > 0 for character in text)


def _painted(span: Span, color: bool) -> str:
    words, style = span
    if not (color and style):
        return words
    return f"\x1b[{';'.join(CODES[part] for part in style.split())}m{words}\x1b[0m"

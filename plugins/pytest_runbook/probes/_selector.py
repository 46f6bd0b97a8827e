"""Selectors of series as PromQL writes them: `http_requests_total{status=~"5..", method!="HEAD"}`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pytest_runbook.errors import UsageError

Series = tuple[str, tuple[tuple[str, str], ...]]
"""Name and labels, sorted."""
_WHOLE = re.compile(r"\s*([a-zA-Z_:][\w:]*)\s*(?:\{(.*)\}\s*)?", re.DOTALL)
_MATCHER = re.compile(r'\s*([a-zA-Z_]\w*)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"\s*(?:,|\Z)')
_ESCAPE = re.compile(r"\\(.)")


@dataclass(frozen=True)
class Selector:
    """A name, and what labels must and must not match; a label that is absent counts as empty, as in PromQL."""

    name: str
    matchers: tuple[tuple[str, bool, re.Pattern[str]], ...] = ()
    """Label, whether it must match, and the pattern that its whole value is matched with."""

    @classmethod
    def parse(cls, text: str, labels: Mapping[str, str] | None = None) -> Selector:
        """The selector that TEXT writes, with LABELS as equalities beside; UsageError when it is none."""
        whole = _WHOLE.fullmatch(text)
        if whole is None:
            raise _bad(text)
        matchers, rest, place = [], whole[2] or "", 0
        while rest[place:].strip():
            found = _MATCHER.match(rest, place)
            if found is None:
                raise _bad(text)
            label, operator, value = found.groups()
            value = _ESCAPE.sub(r"\1", value) if "~" not in operator else value.replace("\\\\", "\\")
            try:
                pattern = re.compile(value if "~" in operator else re.escape(value))
            except re.error:
                raise _bad(text) from None
            matchers.append((label, not operator.startswith("!"), pattern))
            place = found.end()
        equal = [(label, True, re.compile(re.escape(value))) for label, value in (labels or {}).items()]
        return cls(whole[1], (*matchers, *equal))

    def matches(self, series: Series, name: str | None = None) -> bool:
        """Whether SERIES is selected; NAME stands in for the selector's own."""
        if series[0] != (name or self.name):
            return False
        labels = dict(series[1])
        return all(bool(pattern.fullmatch(labels.get(label, ""))) is wanted for label, wanted, pattern in self.matchers)


def _bad(text: str) -> UsageError:
    return UsageError(
        f'selector \'{text}\' cannot be read\n  hint: write name, or name{{label="value", label=~"pattern"}}'
    )

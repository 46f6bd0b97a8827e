"""Words figures, moments and messages the same way in every report, and makes what came from outside safe to show."""

from __future__ import annotations

import math
import re

from pytest_runbook import clock
from pytest_runbook.model import Measurement

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-_])")
# Controls, the marks that turn the direction of text round, and what neither UTF-8 nor XML can carry.
_UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
_SIZES = ("B", "kB", "MB", "GB", "TB", "PB")


def safe(text: str) -> str:
    """TEXT without terminal sequences and control characters; lines and tabs stay."""
    if text.isprintable():
        return text
    return _UNSAFE.sub("\ufffd", _ANSI.sub("", text.replace("\r\n", "\n")))


def one_line(text: str, limit: int = 0) -> str:
    """TEXT safe and on one line, cut to LIMIT characters with an ellipsis when LIMIT is given."""
    line = text.strip() if text.isprintable() and "  " not in text else " ".join(safe(text).split())
    return line if not limit or len(line) <= limit else line[: limit - 1].rstrip() + "…"


def clipped(text: str, limit: int) -> str:
    """TEXT safe and at most LIMIT characters: its beginning and its end, where tracebacks say why."""
    text = safe(text)
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n… {len(text) - 2 * half:,} characters left out …\n{text[-half:]}"


def figure(value: float | None, unit: str = "", digits: int = 4) -> str:
    """VALUE with UNIT for people: `2.31 s`, `93.1 %`, `1.5 GB`, `12 000`; sizes in bytes get a larger unit."""
    if value is None or not math.isfinite(value):
        return "not a number" if value is None or math.isnan(value) else ("∞" if value > 0 else "-∞")
    if unit in ("B", "bytes"):
        return _size(value, digits)
    if unit == "ratio":
        return f"{value * 100:.{digits}g} %"
    if unit in ("s", "seconds") and abs(value) >= 120:
        return clock.duration(value)
    whole = abs(value) < 1e15 and (float(value).is_integer() or abs(value) >= 10**digits)
    number = f"{value:,.0f}".replace(",", "\u202f") if whole else f"{value:.{digits}g}"
    return f"{number}{'' if unit == '%' else ' '}{unit}" if unit else number


def _size(value: float, digits: int) -> str:
    power = min(int(math.log10(abs(value)) // 3), len(_SIZES) - 1) if abs(value) >= 1000 else 0
    return f"{value / 1000**power:.{digits}g} {_SIZES[power]}"


def seen(measurement: Measurement) -> str:
    """The value measured, with as many digits as it takes to tell it from its limit."""
    return _apart(measurement)[0]


def limit(measurement: Measurement) -> str:
    """The limit with its comparison, `< 2 s`; empty when the value was not compared."""
    return f"{measurement.comparison} {_apart(measurement)[1]}".strip() if measurement.limit is not None else ""


def _apart(measurement: Measurement) -> tuple[str, str]:
    value, bound, unit = measurement.value, measurement.limit, measurement.unit
    pair = figure(value, unit), figure(bound, unit) if bound is not None else ""
    if bound is None or value == bound or pair[0] != pair[1]:
        return pair
    return f"{value!r} {unit}".strip(), f"{bound!r} {unit}".strip()


def against_limit(measurement: Measurement) -> str:
    """Name, value and limit in one phrase: `web.response_time.p95 2.31 s, limit < 2 s`."""
    phrase = f"{measurement.name} {seen(measurement)}"
    return f"{phrase}, limit {limit(measurement)}" if limit(measurement) else phrase


def address(text: str) -> str | None:
    """TEXT when it is the address of a web page and nothing else: the only kind of link that a report follows."""
    text = text.strip()
    return text if re.fullmatch(r"https?://[^\s\"'<>\\^`{|}\x00-\x1f]+", text) else None


def moment(text: str) -> str:
    """ISO 8601 TEXT as people read it, `2026-11-22 18:03:05 UTC`; what is not a moment stays as it is."""
    try:
        return clock.parse(text).strftime("%Y-%m-%d %H:%M:%S UTC")
    except ValueError:
        return safe(text)


def count(number: int, noun: str, plural: str = "") -> str:
    """NUMBER of NOUN: `1 check`, `12 checks`."""
    return f"{figure(number)} {noun if number == 1 else plural or noun + 's'}"

"""`measure`: a figure that remembers what it was compared with, so that every report shows it beside its limit."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

from pytest_runbook.errors import Unmeasured
from pytest_runbook.evidence.context import current
from pytest_runbook.model import Measurement


class Measured(float):
    """A number whose first failed comparison, else its last one, is kept in its measurement."""

    measurement: Measurement

    def _compare(self, word: str, compare: Callable[[float, float], bool], other: object) -> bool:
        if not isinstance(other, int | float):
            return NotImplemented  # type: ignore[no-any-return]
        holds = compare(float(self), float(other))
        seen = self.measurement
        if seen.ok is not False:
            seen.limit, seen.comparison, seen.ok = float(other), word, holds
        return holds

    def __lt__(self, other: object) -> bool:
        return self._compare("<", operator.lt, other)

    def __le__(self, other: object) -> bool:
        return self._compare("<=", operator.le, other)

    def __gt__(self, other: object) -> bool:
        return self._compare(">", operator.gt, other)

    def __ge__(self, other: object) -> bool:
        return self._compare(">=", operator.ge, other)

    def __eq__(self, other: object) -> bool:
        return self._compare("==", operator.eq, other)

    def __ne__(self, other: object) -> bool:
        return self._compare("!=", operator.ne, other)

    __hash__ = float.__hash__


def measure(name: str, value: Any, unit: str = "") -> Measured:
    """VALUE as a number that is recorded under NAME with UNIT and shown beside what it is compared with.

    Units are SI (`s`, `B`), `ratio` for 0..1, or empty for a count. A VALUE that is None or not a number raises Unmeasured:
    a figure that could not be had is never compared.
    """
    try:
        figure = Measured(value)
    except (TypeError, ValueError):
        raise Unmeasured(f'"{name}" has no value: got "{value}"') from None
    if math.isnan(figure):
        raise Unmeasured(f'"{name}" has no value: got "{value}"')
    figure.measurement = Measurement(name, float(figure), unit)
    notebook = current()
    if notebook is not None:
        notebook.measurements.append(figure.measurement)
    return figure


def quantity(value: float, unit: str) -> str:
    """VALUE with UNIT as people read it: `2.31 s`, `340 ms`, `87.5 %`, `3.2 GiB`, `12`."""
    match unit:
        case "ratio":
            return f"{value * 100:.4g} %"
        case "s" if 0 < abs(value) < 1:
            return f"{value * 1000:.3g} ms"
        case "s" if abs(value) >= 172_800:
            return f"{value / 86_400:.3g} d"
        case "B":
            return _bytes(value)
        case _:
            number = f"{value:.0f}" if value == int(value) else f"{value:.4g}"
            return f"{number} {unit}".strip()


def sentence(seen: Measurement) -> str:
    """A measurement in words: `web.response_time.p95 is 2.31 s, must be < 2 s`."""
    said = f"{seen.name} is {quantity(seen.value, seen.unit)}"
    if seen.limit is None:
        return said
    return f"{said}, must be {seen.comparison} {quantity(seen.limit, seen.unit)}"


def _bytes(value: float) -> str:
    for prefix in ("B", "KiB", "MiB", "GiB"):
        if abs(value) < 1024:
            return f"{value:.4g} {prefix}"
        value /= 1024
    return f"{value:.4g} TiB"

"""Figures of several worker processes together: values, ratios, and quantiles of histograms."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pytest_runbook.errors import Idle, Unmeasured
from pytest_runbook.probes._selector import Selector, Series

Over = Literal["sum", "max", "min"]


@dataclass(frozen=True)
class Figures:
    """What the worker processes of a service count, each for itself."""

    source: str
    """Where they come from, for messages."""
    workers: Sequence[Mapping[Series, float]]
    growing: frozenset[str]
    names: frozenset[str]
    seconds: float | None = None
    """Length of the window that was counted in; None: since each process started."""

    def value(self, selector: str, over: Over | None = None) -> float:
        """What SELECTOR selects, its series added up in each worker and then OVER the workers.

        By default counters are summed, and of gauges the largest is taken: most say the same of a thing that the workers
        share. A counter that is declared and has not counted yet is 0.
        """
        chosen = Selector.parse(selector)
        name = self._name(chosen.name)
        each = [found for found in (_selected(worker, chosen, name) for worker in self.workers) if found]
        grows = name in self.growing
        if not each and not grows:
            raise self._missing(selector)
        if not each:
            self._demand_labels(selector, chosen, name)
        sums = [sum(found) for found in each] or [0.0]
        match over or ("sum" if grows else "max"):
            case "sum":
                return sum(sums)
            case "max":
                return max(sums)
            case "min":
                return min(sums)

    def ratio(self, numerator: str, denominator: str) -> float:
        """The value of NUMERATOR by that of DENOMINATOR; Idle when the latter is 0."""
        part, whole = self.value(numerator), self.value(denominator)
        if whole == 0:
            raise self._missing(denominator)
        return part / whole

    def quantile(
        self, metric: str, q: float, labels: Mapping[str, str] | None = None, limit: float | None = None
    ) -> float:
        """The Q-quantile (0 to 1) of the histogram METRIC (a name or selector, without `_bucket`), as Prometheus estimates it.

        Values are taken to lie evenly within a bucket. Above the last finite bound B a histogram knows nothing: with a LIMIT
        up to B the answer is B, which is not below it; otherwise Unmeasured.
        """
        chosen = Selector.parse(metric, labels)
        counts: dict[float, float] = defaultdict(float)
        for worker in self.workers:
            for series, count in worker.items():
                if chosen.matches(series, f"{chosen.name}_bucket"):
                    counts[_bound(series)] += count
        bounds = sorted(counts)
        if not bounds or not counts.get(math.inf):
            raise self._missing(metric)
        rank = q * counts[math.inf]
        place = next(index for index, bound in enumerate(bounds) if counts[bound] >= rank)
        lower = bounds[place - 1] if place else min(0.0, bounds[0])
        if bounds[place] == math.inf:
            return self._beyond(metric, q, lower, limit)
        below = counts[lower] if place else 0.0
        inside = counts[bounds[place]] - below
        return lower + (bounds[place] - lower) * ((rank - below) / inside) if inside else bounds[place]

    def _beyond(self, metric: str, q: float, bound: float, limit: float | None) -> float:
        if limit is not None and limit <= bound:
            return bound
        raise Unmeasured(
            f"the {q:g}-quantile of {metric} lies above {bound:g}, its last bucket\n"
            f"  hint: give the histogram buckets around the limit"
        )

    def _name(self, name: str) -> str:
        """NAME, or how the parser calls a counter that is not named like one."""
        return f"{name}_total" if name not in self.names and f"{name}_total" in self.names else name

    def _demand_labels(self, selector: str, chosen: Selector, name: str) -> None:
        """Raise Unmeasured when series of this NAME exist and none has a label that was CHOSEN by: 0 would be no figure."""
        shown = [dict(series[1]) for worker in self.workers for series in worker if series[0] == name]
        for label, _, _ in chosen.matchers:
            if shown and not any(label in labels for labels in shown):
                raise Unmeasured(f'"{self.source}" has no {name} with a label "{label}", which {selector} asks for')

    def _missing(self, selector: str) -> Unmeasured:
        """Why SELECTOR gives nothing."""
        name = Selector.parse(selector).name
        known = {name, f"{name}_total", f"{name}_bucket"} & self.names
        if not known:
            return Unmeasured(f'"{self.source}" has no metric {selector}')
        when = f" in {self.seconds:.3g} s" if self.seconds is not None else ""
        return Idle(f'"{self.source}" counted nothing of {selector}{when}')


def _selected(worker: Mapping[Series, float], chosen: Selector, name: str) -> list[float]:
    return [value for series, value in worker.items() if chosen.matches(series, name)]


def _bound(series: Series) -> float:
    try:
        return float(dict(series[1]).get("le", ""))
    except ValueError:
        raise Unmeasured(f'"{series[0]}" is no histogram: a bucket has no bound') from None

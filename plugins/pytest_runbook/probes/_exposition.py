"""Prometheus text of a service with several worker processes: which answers are of one process, and what all count together.

Each worker answers with its own counters. An answer can be of the same process as an earlier one when nothing that only
grows has shrunk, and nothing that is fixed for a process's life differs (`process_start_time_seconds`, the `_created` times);
a series with a label that names the process cannot vanish either. So the newest answer of each process can be summed.

Answers that were made at the same time cannot be compared so: a page is not written in one instant, and of two that threads
of one process write at once each can be ahead of the other in something. `apart` keeps those of them that need no comparison.

What this cannot see: a worker that answered none of the requests is missing, so sums are a lower bound, while ratios and
quantiles are those of the workers seen; a process that ended while it was looked at still counts; and without any metric
that is fixed, a process that is ahead of another in every single counter looks like that other one, grown.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

from pytest_runbook.probes._selector import Series

_PARTS = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "summary": ("_count", "_sum")}
"""What of a family only grows, by its type; what has no type tells by its name."""


@dataclass(frozen=True)
class Snapshot:
    """One answer of one worker."""

    at: float
    """Seconds of the monotonic clock."""
    values: Mapping[Series, float]
    growing: frozenset[str]
    """Names that only grow while a process lives, also those without a series yet."""
    names: frozenset[str]
    """All names."""

    @cached_property
    def counts(self) -> Mapping[Series, float]:
        """What never shrinks; sums do, by negative observations."""
        return {s: value for s, value in self.values.items() if s[0] in self.growing and not s[0].endswith("_sum")}

    @cached_property
    def fixed(self) -> Mapping[Series, float]:
        """What never changes while a process lives."""
        return {s: value for s, value in self.values.items() if is_fixed(s[0])}

    @cached_property
    def total(self) -> float:
        """All counts together: never less in a later snapshot of the same process."""
        return sum(self.counts.values())

    def can_become(self, later: Snapshot) -> bool:
        """Whether LATER can be of the same process."""
        return all(later.fixed.get(series) == value for series, value in self.fixed.items()) and all(
            later.counts.get(series, -1.0) >= value for series, value in self.counts.items()
        )

    def is_other_than(self, other: Snapshot) -> bool:
        """Whether the two are of different processes, whatever they count."""
        return any(other.fixed.get(series, value) != value for series, value in self.fixed.items())


def is_fixed(name: str) -> bool:
    """Whether a metric of this NAME keeps its value for the life of its process."""
    return name.endswith("_created") or name == "process_start_time_seconds"


def parse(text: str, at: float) -> Snapshot:
    """The snapshot that TEXT, in Prometheus' text format and received AT, holds; ValueError when it is not that."""
    from prometheus_client.parser import text_string_to_metric_families  # late: heavy

    values: dict[Series, float] = {}
    growing: set[str] = set()
    names: set[str] = set()
    for family in text_string_to_metric_families(text):
        parts = _PARTS.get(family.type, ())
        growing |= {family.name + part for part in parts}
        names.add(family.name)
        for sample in family.samples:
            names.add(sample.name)
            if family.type == "unknown" and sample.name.endswith(("_total", "_bucket", "_count", "_sum")):
                growing.add(sample.name)
            if not math.isnan(sample.value):
                values[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
    if not values:
        raise ValueError("no metrics")
    return Snapshot(at, values, frozenset(growing), frozenset(names | growing))


def apart(together: Iterable[Snapshot]) -> list[Snapshot]:
    """Of the snapshots that were made TOGETHER those that are surely of different processes."""
    found: list[Snapshot] = []
    for snapshot in together:
        if all(snapshot.is_other_than(one) for one in found):
            found.append(snapshot)
    return found


def processes(snapshots: Iterable[Snapshot]) -> list[list[Snapshot]]:
    """SNAPSHOTS, given in the order of time, by the process that they are of."""
    found: list[list[Snapshot]] = []
    for snapshot in snapshots:
        own = max((one for one in found if one[-1].can_become(snapshot)), key=lambda one: one[-1].total, default=None)
        if own is None:
            found.append([snapshot])
        else:  # of several, the one that it grew from least
            own.append(snapshot)
    return found


def newest(snapshots: Sequence[Snapshot]) -> list[Mapping[Series, float]]:
    """What each process of SNAPSHOTS counted since it started."""
    return [own[-1].values for own in processes(snapshots)]


def increases(before: Sequence[Snapshot], after: Sequence[Snapshot]) -> tuple[list[Mapping[Series, float]], float]:
    """What each process that was seen BEFORE and AFTER counted between, and the seconds between, on average.

    What does not only grow is as it is at the end.
    """
    middle = before[-1].at if before else 0.0
    found: list[Mapping[Series, float]] = []
    spans: list[float] = []
    for own in processes([*before, *after]):
        then, now = [one for one in own if one.at <= middle], own[-1]
        if then and now.at > middle:
            base = then[-1].values
            found.append({s: v - base.get(s, 0.0) if s[0] in now.growing else v for s, v in now.values.items()})
            spans.append(now.at - then[-1].at)
    return found, fmean(spans) if spans else 0.0

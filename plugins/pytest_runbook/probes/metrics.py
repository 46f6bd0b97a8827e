"""The metrics page of a service with several worker processes: each request shows one of them, the figures are of all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial, reduce
from typing import Any

from pydantic import PositiveInt

from pytest_runbook import clock
from pytest_runbook.errors import Unmeasured
from pytest_runbook.probes._exposition import Snapshot, apart, increases, newest, parse, processes
from pytest_runbook.probes._fetch import Fetcher, HttpSettings
from pytest_runbook.probes._figures import Figures, Over
from pytest_runbook.probes._response import Response, excerpt
from pytest_runbook.probes.base import Probe

AT_ONCE = 6
"""Requests at once: while one worker answers, the next request meets another, also when the service is idle."""


class MetricsSettings(HttpSettings):
    """Settings of the metrics probe; `url` is the page itself."""

    requests: PositiveInt = 30
    """How often the page is read to meet every worker; for more than four, more often is better."""
    workers: int = 0
    """How many worker processes there are, when that is known: fewer seen is unmeasured. 0: not known."""


class Metrics(Probe[MetricsSettings]):
    """Reader of a page in Prometheus' text format."""

    kind = "metrics"
    Settings = MetricsSettings

    def __init__(self, name: str, settings: MetricsSettings) -> None:
        super().__init__(name, settings)
        self._fetcher = Fetcher(name, settings)

    @property
    def target(self) -> str:
        """The page's address, without secrets."""
        return self._fetcher.target

    async def close(self) -> None:
        """Close the connections."""
        await self._fetcher.close()

    async def scrape(self, requests: int | None = None) -> Figures:
        """What all workers counted since each started, by reading the page REQUESTS times (default: the settings)."""
        times = requests or self.settings.requests
        return await self.observe(f"read {times} times", lambda: self._scrape(times), answer=_summary)

    async def window(self, seconds: float, requests: int | None = None) -> Figures:
        """What all workers count within SECONDS from now."""
        times = requests or self.settings.requests
        asked = f"read {times} times, and again after {seconds:g} s"
        return await self.observe(asked, lambda: self._window(seconds, times), answer=_summary)

    async def value(self, selector: str, *, over: Over | None = None, seconds: float | None = None) -> float:
        """What SELECTOR selects (see `Figures.value`), since the workers started or within SECONDS from now."""
        figures = await self._figures(seconds)
        asked = f"value of {selector}" + (f" ({over} over workers)" if over else "") + _within(seconds)
        return await self._derive(asked, lambda: figures.value(selector, over))

    async def rate(self, selector: str, seconds: float) -> float:
        """What SELECTOR counts a second, within SECONDS from now."""
        figures = await self._figures(seconds)
        asked = f"rate of {selector}{_within(seconds)}"
        return await self._derive(asked, lambda: figures.value(selector, "sum") / (figures.seconds or seconds))

    async def ratio(self, numerator: str, denominator: str, *, seconds: float | None = None) -> float:
        """NUMERATOR by DENOMINATOR, since the workers started or within SECONDS from now."""
        figures = await self._figures(seconds)
        asked = f"ratio of {numerator} to {denominator}{_within(seconds)}"
        return await self._derive(asked, lambda: figures.ratio(numerator, denominator))

    async def quantile(
        self,
        metric: str,
        q: float,
        labels: Mapping[str, str] | None = None,
        *,
        limit: float | None = None,
        seconds: float | None = None,
    ) -> float:
        """The Q-quantile of the histogram METRIC (see `Figures.quantile`), since the workers started or within SECONDS."""
        figures = await self._figures(seconds)
        shown = f"{metric} {dict(labels)}" if labels else metric
        asked = f"{q:g}-quantile of {shown}{_within(seconds)}"
        return await self._derive(asked, lambda: figures.quantile(metric, q, labels, limit))

    async def _figures(self, seconds: float | None) -> Figures:
        return await (self.scrape() if seconds is None else self.window(seconds))

    async def _derive(self, asked: str, compute: Callable[[], float]) -> float:
        async def call() -> float:
            return compute()

        return await self.observe(asked, call)

    async def _scrape(self, times: int) -> Figures:
        seen = await self._snapshots(times)
        return self._figures_of(seen, await self.blocking(lambda: newest(seen)))

    async def _window(self, seconds: float, times: int) -> Figures:
        before = await self._snapshots(times)
        await asyncio.sleep(seconds)
        after = await self._snapshots(times)
        return self._figures_of(after, *await self.blocking(lambda: increases(before, after)))

    def _figures_of(
        self, seen: Sequence[Snapshot], workers: Sequence[Mapping[Any, float]], seconds: float | None = None
    ) -> Figures:
        if len(workers) < max(self.settings.workers, 1):
            known = self.settings.workers or "any"
            raise Unmeasured(f'"{self.target}" showed {len(workers)} of {known} workers')
        growing = reduce(frozenset.union, (one.growing for one in seen))
        names = reduce(frozenset.union, (one.names for one in seen))
        return Figures(self.target, workers, growing, names, seconds)

    async def _snapshots(self, times: int) -> list[Snapshot]:
        """What TIMES answers show, in the order of time; up to three times as many when known workers are missing."""
        found: list[Snapshot] = []
        for _ in range(3):
            for made in range(0, times, AT_ONCE):
                # Connections of their own: on a kept one the same worker would answer again.
                asking = [self._fetcher.fetch("GET", "", alone=True) for _ in range(min(AT_ONCE, times - made))]
                pages = await asyncio.gather(*asking, return_exceptions=True)
                found += await self.blocking(partial(_snapshots, pages, clock.monotonic()))
            if len(processes(found)) >= self.settings.workers:
                break
        return found


def _snapshots(pages: Sequence[Response | BaseException], at: float) -> list[Snapshot]:
    for page in pages:
        if isinstance(page, BaseException):
            raise page
    return apart([_snapshot(page, at) for page in pages if isinstance(page, Response)])


def _snapshot(page: Response, at: float) -> Snapshot:
    if page.status_code != 200:
        raise Unmeasured(
            f'"{page.url}" answered {page.status_code} where metrics were expected: "{excerpt(page.text)}"'
        )
    try:
        return parse(page.text, at)
    except (ValueError, IndexError, KeyError):  # the parser does not always say it in its own words
        kind = page.headers.get("content-type", "no content type")
        raise Unmeasured(
            f'"{page.url}" answered {kind} where Prometheus text was expected: "{excerpt(page.text)}"'
        ) from None


def _within(seconds: float | None) -> str:
    return "" if seconds is None else f" within {seconds:g} s"


def _summary(figures: Figures) -> dict[str, Any]:
    return {"workers": len(figures.workers), "series": len(set().union(*figures.workers))}

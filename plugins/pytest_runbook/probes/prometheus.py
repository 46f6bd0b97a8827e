"""A Prometheus server, by its HTTP API: what a query says now, and which alerts there are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pytest_runbook import clock
from pytest_runbook.errors import Unmeasured
from pytest_runbook.probes._fetch import Fetcher, HttpSettings
from pytest_runbook.probes._plain import plain
from pytest_runbook.probes._response import excerpt
from pytest_runbook.probes.base import Probe


@dataclass(frozen=True, slots=True)
class Point:
    """One series of an instant vector, or a scalar (without labels)."""

    labels: Mapping[str, str]
    value: float
    time: datetime
    """UTC."""


@dataclass(frozen=True, slots=True)
class Alert:
    """An active alert."""

    name: str
    state: str
    """`pending` or `firing`."""
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    since: datetime | None
    """UTC."""


class Prometheus(Probe[HttpSettings]):
    """Client of the HTTP API, version 1."""

    kind = "prometheus"
    Settings = HttpSettings

    def __init__(self, name: str, settings: HttpSettings) -> None:
        super().__init__(name, settings)
        self._fetcher = Fetcher(name, settings)

    @property
    def target(self) -> str:
        """The server's address, without secrets."""
        return self._fetcher.target

    async def close(self) -> None:
        """Close the connections."""
        await self._fetcher.close()

    async def query(self, promql: str) -> list[Point]:
        """What PROMQL, an instant vector or a scalar, is now; no series: an empty list."""
        return await self.observe(f"query {promql}", lambda: self._query(promql), answer=plain)

    async def value(self, promql: str) -> float:
        """The one number that PROMQL gives; Unmeasured when it gives none, several, or NaN (0 by 0)."""
        points = await self.query(promql)
        if len(points) != 1 or math.isnan(points[0].value):
            came = f"{len(points)} series" if len(points) != 1 else "NaN"
            raise Unmeasured(f'"{self.target}" answered {came} where one number was expected: {promql}')
        return points[0].value

    async def alerts(self, state: str | None = "firing") -> list[Alert]:
        """The alerts in STATE (`firing`, `pending`; None: both), by name."""
        active = await self.observe("alerts", self._alerts, answer=plain)
        return [alert for alert in active if state in (None, alert.state)]

    async def _query(self, promql: str) -> list[Point]:
        data = await self._ask("query", query=promql)
        match data:
            case {"resultType": "vector", "result": [*series]}:
                return [self._point(one.get("metric"), one.get("value")) for one in series if isinstance(one, dict)]
            case {"resultType": "scalar", "result": value}:
                return [self._point({}, value)]
            case {"resultType": "matrix" | "string" as kind}:
                raise Unmeasured(f'"{self.target}" answered a {kind} where an instant vector was expected: {promql}')
        raise self._odd(data)

    async def _alerts(self) -> list[Alert]:
        data = await self._ask("alerts")
        match data:
            case {"alerts": [*alerts]}:
                return sorted((self._alert(alert) for alert in alerts), key=lambda alert: alert.name)
        raise self._odd(data)

    async def _ask(self, what: str, **params: str) -> Any:
        """The `data` of the answer to WHAT; Unmeasured, in the server's words, when it is an error."""
        answer = await self._fetcher.fetch("GET", f"/api/v1/{what}", params=params)
        match answer.json():
            case {"status": "success", "data": data}:
                return data
            case {"status": "error", **said}:
                reason = said.get("error") or said.get("errorType") or answer.status_code
                raise Unmeasured(f'"{self.target}" refused {what}: {reason}')
            case other:
                raise self._odd(other)

    def _point(self, labels: Any, value: Any) -> Point:
        match labels, value:
            case dict(), [int() | float() as time, str() as number]:
                try:
                    return Point(labels, float(number), datetime.fromtimestamp(time, UTC))
                except (ValueError, OverflowError):
                    pass
        raise self._odd(value)

    def _alert(self, alert: Any) -> Alert:
        match alert:
            case {"labels": dict() as labels, "state": str() as state, **rest}:
                said, since = rest.get("annotations"), _moment(str(rest.get("activeAt", "")))
                notes = said if isinstance(said, dict) else {}
                return Alert(str(labels.get("alertname", "")), state, labels, notes, since)
        raise self._odd(alert)

    def _odd(self, came: Any) -> Unmeasured:
        return Unmeasured(f'"{self.target}" does not answer as Prometheus does: "{excerpt(str(came))}"')


def _moment(text: str) -> datetime | None:
    try:
        return clock.parse(text).astimezone(UTC)
    except ValueError:
        return None

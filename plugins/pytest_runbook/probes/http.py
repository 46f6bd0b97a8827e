"""A web service as its users meet it: pages, uploads, response times over a sample, the certificate."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pytest_runbook import clock
from pytest_runbook.errors import Unmeasured
from pytest_runbook.files import unreadable
from pytest_runbook.probes._address import public, unreachable
from pytest_runbook.probes._fetch import Fetcher, HttpSettings
from pytest_runbook.probes._response import Response
from pytest_runbook.probes._tls import Certificate, certificate
from pytest_runbook.probes.base import Probe

LIMITED = 429
"""The status that asks for fewer requests."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Response times and errors of many requests.

    Percentiles are by nearest rank: the smallest time that at least that share of the requests did not exceed, so each is
    a time that was really seen, in seconds. Requests that timed out count with the time they took, errors and those that
    were refused or cut off do not: a server that fails fast is not a quick one. Of errors alone a percentile is Unmeasured.
    """

    n: int
    """Requests made."""
    errors: int
    """Answers of another status than expected, and requests without an answer."""
    statuses: dict[int, int]
    """Status to number of answers."""
    exceptions: dict[str, int]
    """What was said of requests without an answer, to their number."""
    durations: tuple[float, ...]
    """Seconds, in ascending order."""

    @property
    def error_rate(self) -> float:
        """Share of the requests that are errors, 0 to 1."""
        return self.errors / self.n

    @property
    def p50(self) -> float:
        """Half of the requests took no longer."""
        return self._percentile(50)

    @property
    def p95(self) -> float:
        """95 % of the requests took no longer."""
        return self._percentile(95)

    @property
    def p99(self) -> float:
        """99 % of the requests took no longer."""
        return self._percentile(99)

    @property
    def max(self) -> float:
        """The longest that a request took."""
        return self._percentile(100)

    def summary(self) -> dict[str, Any]:
        """Its figures, for evidence."""
        times = {name: getattr(self, name) for name in ("p50", "p95", "p99", "max")} if self.durations else {}
        return {**asdict(self), **times, "error_rate": self.error_rate, "durations": len(self.durations)}

    def _percentile(self, percent: int) -> float:
        if not self.durations:
            raise Unmeasured(f"none of {self.n} requests was answered as expected: {self.statuses}")
        return percentile(self.durations, percent)


class Http(Probe[HttpSettings]):
    """Client of one HTTP service."""

    kind = "http"
    Settings = HttpSettings

    def __init__(self, name: str, settings: HttpSettings) -> None:
        super().__init__(name, settings)
        self._fetcher = Fetcher(name, settings)
        self._uploads = asyncio.Semaphore(settings.uploads)

    @property
    def target(self) -> str:
        """The address, without secrets."""
        return self._fetcher.target

    async def close(self) -> None:
        """Close the connections."""
        await self._fetcher.close()

    async def get(
        self,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        follow: bool | None = None,
    ) -> Response:
        """The answer to GET; a redirect is an answer unless FOLLOW (default: the settings) says to follow it."""
        return await self.request("GET", path, params=params, headers=headers, follow=follow)

    async def post(
        self,
        path: str,
        *,
        json: Any = None,
        data: Mapping[str, Any] | None = None,
        content: bytes | str | None = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        follow: bool | None = None,
    ) -> Response:
        """The answer to POST of JSON, of a form (DATA) or of raw CONTENT."""
        body = {"json": json, "data": data, "content": content}
        given = {name: value for name, value in body.items() if value is not None}
        return await self.request("POST", path, params=params, headers=headers, follow=follow, **given)

    async def upload(
        self,
        path: str,
        file: Path | bytes,
        *,
        filename: str | None = None,
        field: str = "file",
        data: Mapping[str, str] | None = None,
        content_type: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """The answer to POST of FILE as a multipart form's FIELD, beside the fields DATA; in turn with other uploads."""
        content = file if isinstance(file, bytes) else await self.blocking(lambda: _read(file))
        name = filename or (file.name if isinstance(file, Path) else "upload.bin")
        part = (name, content, content_type) if content_type else (name, content)
        note = f" ({len(content)} bytes as {field})"
        return await self.request(
            "POST", path, headers=headers, note=note, turns=self._uploads, files={field: part}, data=data or {}
        )

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        follow: bool | None = None,
        note: str = "",
        turns: asyncio.Semaphore | None = None,
        **content: Any,
    ) -> Response:
        """The answer to METHOD on PATH; CONTENT is what httpx takes, NOTE is added to what evidence says was asked.

        TURNS: see `observe`.
        """
        whole = (
            path + ("&" if "?" in path else "?") + "&".join(f"{k}={v}" for k, v in params.items()) if params else path
        )
        asked = f"{method} {public(whole)}{note}"
        asked += f" with {', '.join(sorted(headers))}" if headers else ""
        asked += " following redirects" if follow else ""
        # What evidence does not show, it cannot tell apart: such calls are not shared, nor are those that change something.
        share = method in ("GET", "HEAD", "OPTIONS") and not headers and not content and public(whole) == whole
        return await self.observe(
            asked,
            lambda: self._fetcher.fetch(
                method, path, follow=follow, headers=dict(headers or {}), params=params, **content
            ),
            answer=Response.summary,
            share=share,
            turns=turns,
        )

    async def values(self, path: str, key: str, requests: int = 1) -> set[str]:
        """What KEY of the JSON object at PATH is in REQUESTS answers: each may come from another worker."""
        fresh = {"Cache-Control": "no-cache"}  # equal questions without a header would be one request
        answers = await asyncio.gather(*(self.get(path, headers=fresh) for _ in range(requests)))
        told = [answer.json() for answer in answers]
        return {str(one.get(key) if isinstance(one, dict) else None) for one in told}

    async def sample(self, path: str, requests: int = 50, concurrency: int = 5, expect: int = 200) -> Sample:
        """Times of REQUESTS times GET, CONCURRENCY at once, each to be answered with the status EXPECT.

        Raises Unreachable when none is answered, and Unmeasured when one is answered 429, after which no more are made: who
        is told to ask for less does not see what users see.
        """
        return await self.observe(
            f"GET {public(path)} {requests} times, {concurrency} at once"
            + (f", for {expect}" if expect != 200 else ""),
            lambda: self._sample(path, requests, concurrency, expect),
            answer=Sample.summary,
        )

    async def certificate(self, host: str | None = None, port: int | None = None) -> Certificate:
        """The certificate shown by HOST on PORT (default: those of the settings), also when it does not verify."""
        parts = urlsplit(self._fetcher.url(""))
        if parts.scheme != "https" and port is None:
            raise Unmeasured(
                f'"{self.target}" does not use TLS\n  hint: set probes.{self.name}.url to an https address'
            )
        host, port = host or parts.hostname or "", port or parts.port or 443
        return await self.observe(f"certificate of {host}:{port}", lambda: self._certificate(host, port), answer=_shown)

    async def _certificate(self, host: str, port: int) -> Certificate:
        try:
            async with asyncio.timeout(self.settings.timeout):
                return await certificate(host, port, self.settings.ca_file)
        except (OSError, UnicodeError) as error:
            url = f"https://{host}:{port}"
            raise unreachable(url, error, self.settings.timeout) or Unmeasured(f'"{url}": {error}') from None

    async def _sample(self, path: str, requests: int, concurrency: int, expect: int) -> Sample:
        answers: list[Response] = []
        failures: list[tuple[Unmeasured, float]] = []
        left = iter(range(requests))

        async def one_after_another() -> None:
            for _ in left:
                if len(failures) >= concurrency and not answers:
                    return  # nobody is there: the rest would only wait as long
                if any(answer.status_code == LIMITED for answer in answers):
                    return
                begun = clock.monotonic()
                try:
                    answers.append(await self._fetcher.fetch("GET", path))
                except Unmeasured as error:
                    failures.append((error, clock.monotonic() - begun))

        await asyncio.gather(*(one_after_another() for _ in range(min(concurrency, requests))))
        if not answers:
            raise failures[0][0] if failures else Unmeasured("a sample of no requests says nothing")
        statuses = Counter(answer.status_code for answer in answers)
        if statuses[LIMITED]:
            raise Unmeasured(
                f'"{answers[0].url}" limits how often it may be asked: of {len(answers)} requests it answered '
                f"{statuses[LIMITED]} with {LIMITED}\n  hint: exempt the address of the checks from that limit, or ask less often"
            )
        slow = [seconds for _, seconds in failures if seconds >= self.settings.timeout]
        right = [answer.elapsed for answer in answers if answer.status_code == expect]
        return Sample(
            n=len(answers) + len(failures),
            errors=len(failures) + len(answers) - len(right),
            statuses=dict(sorted(statuses.items())),
            exceptions=dict(Counter(str(error) for error, _ in failures)),
            durations=tuple(sorted(right + slow)),
        )


def percentile(ascending: Sequence[float], percent: int) -> float:
    """The PERCENT-th percentile of ASCENDING values by nearest rank."""
    rank = -(-percent * len(ascending) // 100)  # whole numbers: a rounding error would pick the neighbour
    return ascending[max(rank, 1) - 1]


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise unreadable(file, error, "file") from None


def _shown(seen: Certificate) -> dict[str, Any]:
    dates = {"not_before": clock.iso(seen.not_before), "not_after": clock.iso(seen.not_after)}
    return {**asdict(seen), **dates, "days_left": round(seen.days_left, 2)}

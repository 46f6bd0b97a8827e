"""HTTP bounded in time and size: what the probes that speak HTTP have in common."""

from __future__ import annotations

import asyncio
import zlib
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from pytest_runbook import clock
from pytest_runbook.errors import Unmeasured, Unreachable
from pytest_runbook.probes._address import checked, public, unreachable
from pytest_runbook.probes._response import Response, excerpt
from pytest_runbook.probes._tls import context
from pytest_runbook.probes.base import ProbeSettings

if TYPE_CHECKING:
    import httpx

_IDLE = 1.0
"""Seconds that a connection is kept: less than any server keeps it, so that none is used that the server just closed."""


class HttpSettings(ProbeSettings):
    """Settings of a probe that speaks HTTP."""

    url: str = ""
    """Address that paths are relative to; empty: not configured, and nothing can be measured."""
    headers: dict[str, SecretStr] = Field(default_factory=dict)
    """Sent with every request to the origin of `url`, never to another one."""
    verify: bool = True
    """Whether a TLS certificate must be valid."""
    ca_file: Path | None = None
    """Authorities to trust instead of the system's, PEM."""
    max_bytes: int = 10_000_000
    """Size that an answer may have, unpacked."""
    uploads: int = Field(default=1, ge=1)
    """Uploads at once, at most: a file is work for the service, which users wait behind and other checks measure."""
    follow_redirects: bool = False
    max_redirects: int = 5

    @field_validator("url")
    @classmethod
    def _is_http(cls, url: str) -> str:
        return checked(url) if url else url


class Fetcher:
    """One pool of connections to one address; each call is bounded in time and size, and none follows the environment."""

    def __init__(self, name: str, settings: HttpSettings) -> None:
        """NAME is the probe's, for messages."""
        self.name = name
        self.settings = settings
        # Not the pool's own bound: waiting there would count as the target's time.
        self._lanes = asyncio.Semaphore(settings.concurrency)

    @property
    def target(self) -> str:
        """The address, without secrets."""
        return public(self.settings.url) or self.name

    def url(self, path: str) -> str:
        """PATH below the configured address, that address when PATH is empty, or PATH itself when it is a whole address."""
        if not self.settings.url:
            raise Unmeasured(f'probe "{self.name}" has no address\n  hint: set probes.{self.name}.url')
        if path.startswith(("http://", "https://")):
            return self._checked(path)
        return f"{self.settings.url.rstrip('/')}/{path.lstrip('/')}" if path else self.settings.url

    async def fetch(
        self, method: str, path: str, *, follow: bool | None = None, alone: bool = False, **content: Any
    ) -> Response:
        """The answer to METHOD on PATH; CONTENT is what `httpx.Request` takes: params, headers, json, data, files.

        ALONE makes a connection for this request only. Raises Unreachable when no whole answer came in time, Unmeasured
        when it was too large or is not HTTP.
        """
        import httpx  # late: heavy

        url = self.url(path)
        async with self._lanes:
            try:
                async with asyncio.timeout(self.settings.timeout):
                    return await self._follow(self._request(method, url, alone, content), follow)
            except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
                raise _trouble(url, error, self.settings.timeout) from None

    def _checked(self, url: str) -> str:
        try:
            return checked(url)
        except ValueError as bad:
            raise Unmeasured(f'"{self.target}" leads to "{public(url)}": {bad}') from None

    async def close(self) -> None:
        """Close the connections."""
        if "_client" in self.__dict__:
            await self._client.aclose()

    @cached_property
    def _client(self) -> httpx.AsyncClient:
        import http.cookiejar

        import httpx  # late: heavy

        forgetful = http.cookiejar.CookieJar(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
        return httpx.AsyncClient(
            verify=context(self.settings.verify, self.settings.ca_file),
            trust_env=False,  # a proxy that the shell knows is not part of the system that is verified
            timeout=None,  # noqa: S113 - `fetch` bounds the whole call
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=20, keepalive_expiry=_IDLE),
            headers={"User-Agent": "pytest-runbook", "Accept-Encoding": "gzip"},
            cookies=forgetful,  # one check's session is not another's
        )

    def _request(self, method: str, url: str, alone: bool, content: dict[str, Any]) -> httpx.Request:
        own = {name: value.get_secret_value().encode() for name, value in self.settings.headers.items()}
        headers = (own if _origin(url) == _origin(self.settings.url) else {}) | (content.pop("headers", None) or {})
        # Kept beside the request: they end where another origin begins.
        return self._client.build_request(
            method,
            url,
            headers=headers | ({"Connection": "close"} if alone else {}),
            extensions={"private": tuple(headers)},
            **content,
        )

    async def _follow(self, request: httpx.Request, follow: bool | None) -> Response:
        begun = clock.monotonic()
        follow = self.settings.follow_redirects if follow is None else follow
        for hops in range(self.settings.max_redirects + 1):
            response = await self._client.send(request, stream=True)
            try:
                following = response.next_request if follow else None
                if following is None:
                    content = await self._content(response)
                    elapsed = clock.monotonic() - begun
                    return Response(
                        response.status_code, response.headers, content, public(str(request.url)), elapsed, hops
                    )
            finally:
                await response.aclose()
            if _origin(self._checked(str(following.url))) != _origin(str(request.url)):
                for name in request.extensions["private"]:
                    following.headers.pop(name, None)
            request = following
        raise Unmeasured(f'"{public(str(request.url))}" redirects more than {self.settings.max_redirects} times')

    async def _content(self, response: httpx.Response) -> bytes:
        """The body, unpacked here and not by httpx, which would unpack a bomb whole."""
        limit = self.settings.max_bytes
        url = public(str(response.request.url))
        packing = response.headers.get("content-encoding", "identity").lower()
        if packing not in ("identity", "gzip", "x-gzip", "deflate"):
            raise Unmeasured(f'"{url}" answered in the unknown encoding "{packing}"')
        unpack = None if packing == "identity" else zlib.decompressobj(wbits=47)  # 47: gzip or zlib, as its header says
        body = bytearray()
        try:
            async for chunk in response.aiter_raw():
                body += unpack.decompress(chunk, limit + 1 - len(body)) if unpack else chunk
                if len(body) > limit:
                    raise Unmeasured(f'"{url}" answered more than {limit} bytes')
        except zlib.error as error:
            raise Unmeasured(f'"{url}" answered broken {packing}: {error}') from None
        if unpack and body and not unpack.eof:
            raise Unreachable(f'"{url}" closed the connection in the middle of its answer')
        return bytes(body)


def _trouble(url: str, error: Exception, seconds: float) -> Unmeasured:
    """ERROR of a call of URL, bounded by SECONDS, in words."""
    import httpx

    place = f'"{public(url)}"'
    match unreachable(url, error, seconds), error:
        case Unreachable() as known, _:
            return known
        case _, httpx.InvalidURL():
            return Unreachable(f"{place} is not an address: {str(error).lower()}")
        case _, httpx.LocalProtocolError():  # its text shows the header that is bad, and headers hold secrets
            return Unmeasured(f"{place} was not asked: a header set for it is not valid HTTP")
        case _, httpx.RemoteProtocolError() if "without sending a response" in str(error):
            return Unreachable(f"{place} closed the connection without an answer")
        case _, httpx.RemoteProtocolError() if "without sending complete" in str(error):
            return Unreachable(f"{place} closed the connection in the middle of its answer")
    return Unmeasured(f"{place} did not answer in HTTP: {excerpt(str(error)) or type(error).__name__}")


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)

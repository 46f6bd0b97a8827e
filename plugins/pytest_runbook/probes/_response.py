"""An HTTP answer, read to its end: what a check judges and what evidence keeps of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pytest_runbook.errors import Unmeasured
from pytest_runbook.probes._address import public

if TYPE_CHECKING:
    import httpx

_SHOWN = ("content-type", "content-length", "location", "server", "retry-after")
"""Headers that evidence keeps; no others, because cookies and tokens travel in them."""


@dataclass(frozen=True)
class Response:
    """An answer, read to its end."""

    status_code: int
    headers: httpx.Headers
    """By name, in any case; `get_list` gives all values of a repeated one."""
    content: bytes
    url: str
    """Where the answer came from in the end, without secrets."""
    elapsed: float
    """Seconds from the request to the last byte, redirects included."""
    redirects: int = field(default=0, repr=False)

    @cached_property
    def text(self) -> str:
        """The content in the encoding it claims, else UTF-8; what does not decode is replaced."""
        _, _, charset = self.headers.get("content-type", "").partition("charset=")
        try:
            return self.content.decode(charset.split(";")[0].strip(" \"'") or "utf-8", "replace")
        except LookupError:
            return self.content.decode("utf-8", "replace")

    def json(self) -> Any:
        """The content as JSON; Unmeasured, saying what came instead, when it is not JSON."""
        try:
            return json.loads(self.content)
        except (ValueError, RecursionError):
            kind = self.headers.get("content-type", "no content type")
            raise Unmeasured(
                f'"{self.url}" answered {self.status_code} with {kind} where JSON was expected: "{excerpt(self.text)}"'
            ) from None

    def summary(self) -> dict[str, Any]:
        """What evidence keeps of this answer."""
        kept = {name: self.headers[name] for name in _SHOWN if name in self.headers}
        if "location" in kept:
            kept["location"] = public(kept["location"])
        return {
            "status": self.status_code,
            "url": self.url,
            "elapsed": round(self.elapsed, 6),
            "redirects": self.redirects,
            "bytes": len(self.content),
            "headers": kept,
            "body": excerpt(self.text, 1000),
        }


def excerpt(text: str, length: int = 80) -> str:
    """The beginning of TEXT on one line."""
    line = " ".join(text[: length * 4].split())
    return line if len(line) <= length else line[:length] + "…"

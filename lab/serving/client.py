"""Sends requests to the stand-ins from within the lab: the standard library only, so that clients start at once."""

from __future__ import annotations

import http.client
import json
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

BOUNDARY = "----lab-upload-boundary"


@dataclass(frozen=True)
class Answer:
    """What a service said."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    def json(self) -> Any:
        """The body as JSON; None when it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


def ask(
    base: str, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None, timeout: float = 5.0
) -> Answer:
    """The answer of the service at the URL BASE; OSError or http.client.HTTPException when there is none."""
    address = urllib.parse.urlsplit(base)
    connection = http.client.HTTPConnection(address.hostname or "127.0.0.1", address.port, timeout=timeout)
    try:
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        return Answer(response.status, response.read(), dict(response.getheaders()))
    finally:
        connection.close()


def upload(base: str, path: str, filename: str, content: bytes, timeout: float = 5.0) -> Answer:
    """The answer to CONTENT sent as the multipart field `file`."""
    lines = (
        f"--{BOUNDARY}",
        f'Content-Disposition: form-data; name="file"; filename="{filename}"',
        "Content-Type: audio/wav",
        "",
        "",
    )
    body = "\r\n".join(lines).encode() + content + f"\r\n--{BOUNDARY}--\r\n".encode()
    kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    return ask(base, "POST", path, body, kind, timeout)

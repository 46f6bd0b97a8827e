"""Small HTTP servers, well-behaved and not, on the loop of the test, and a way to use a probe on them."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from pytest_runbook.evidence.context import Notebook, writing

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
T = TypeVar("T")


@asynccontextmanager
async def serving(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server on a free loopback port; connections still open at the end are cut."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def run(work: Awaitable[T], notebook: Notebook | None = None) -> T:
    """What WORK gives, on a loop of its own, as a check whose evidence goes to NOTEBOOK."""

    async def main() -> T:
        return await work

    with writing(notebook or Notebook("tests/probe")):
        return asyncio.run(main())


async def request_of(reader: asyncio.StreamReader) -> tuple[str, dict[str, str], bytes]:
    """The request line, headers (lower case) and body of the next request."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head.strip().split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return first, headers, await reader.readexactly(int(headers.get("content-length", 0)))


def reply(status: int = 200, body: bytes | str = b"", headers: Mapping[str, str] | None = None) -> bytes:
    """A whole HTTP/1.1 answer."""
    content = body.encode() if isinstance(body, str) else body
    lines = {"Content-Length": str(len(content)), **(headers or {})}
    return b"".join(
        [
            f"HTTP/1.1 {status} Said\r\n".encode(),
            *(f"{k}: {v}\r\n".encode() for k, v in lines.items()),
            b"\r\n",
            content,
        ]
    )


def json_reply(value: Any, status: int = 200) -> bytes:
    """A whole answer in JSON."""
    return reply(status, json.dumps(value), {"Content-Type": "application/json"})


class Site:
    """An HTTP server that answers paths from a table and remembers what it was asked."""

    def __init__(self, pages: Mapping[str, bytes] | None = None, delay: float = 0.0) -> None:
        self.pages = dict(pages or {})
        self.delay = delay
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.busy = self.busiest = self.connections = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while True:
            request = await request_of(reader)
            self.requests.append(request)
            self.busy += 1
            self.busiest = max(self.busiest, self.busy)
            await asyncio.sleep(self.delay)
            self.busy -= 1
            writer.write(self.answer(*request))
            await writer.drain()
            if request[1].get("connection") == "close":
                return

    def answer(self, first: str, headers: dict[str, str], body: bytes) -> bytes:
        """The page for the request; overridden where a table is not enough."""
        path = first.split()[1].partition("?")[0]
        return self.pages.get(path, reply(404, "no such page"))

"""The fault proxy: a TCP listener before each server, through which connections are slowed, cut or swallowed on demand.

Toxics are named and meant as Toxiproxy does: `latency` {latency, jitter: ms}, `bandwidth` {rate: kB/s}, `timeout`
{timeout: ms, 0 for ever} (nothing gets through), `reset_peer` {timeout: ms} (RST instead of data), `down` (refused).
A toxic acts on `stream` "downstream" (what the server answers) unless it says "upstream". It acts on the connections
that are open as well. Control is one JSON object a line over a unix socket.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

from lab.servers import Process, Server, kinds
from lab.site import HOST, LabError, write_private
from lab.waiting import NotReady

ATTRIBUTES = {
    "latency": {"latency": 0, "jitter": 0},
    "bandwidth": {"rate": 0},
    "timeout": {"timeout": 0},
    "reset_peer": {"timeout": 0},
    "down": {},
}
Toxics = dict[str, list[dict[str, Any]]]
"""The toxics of each front."""

CHUNK = 65536
QUEUED = 64
"""Chunks on their way through a slow link; more make the sender wait, as a full pipe does."""


@dataclass
class Toxic:
    """One thing wrong with a link."""

    name: str
    type: str
    stream: str = "downstream"
    attributes: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = ATTRIBUTES.get(self.type)
        if known is None:
            raise ValueError(f'unknown toxic "{self.type}" (known: {", ".join(sorted(ATTRIBUTES))})')
        if not self.attributes.keys() <= known.keys():
            raise ValueError(f'"{self.type}" has the attributes {sorted(known)}, not {sorted(self.attributes)}')
        if self.stream not in ("upstream", "downstream"):
            raise ValueError(f'unknown stream "{self.stream}" (known: downstream, upstream)')
        self.attributes = {**known, **self.attributes}


class Link:
    """One open connection, client to server and back."""

    def __init__(self, front: Front, client: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
        self.front = front
        self.client_reader, self.client = client
        self.server: asyncio.StreamWriter | None = None

    async def run(self) -> None:
        """Carry bytes both ways until both are done, or one side breaks."""
        try:
            server_reader, self.server = await asyncio.open_connection(HOST, self.front.upstream)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._carry(self.client_reader, self.server, "upstream"))
                group.create_task(self._carry(server_reader, self.client, "downstream"))
        except* OSError:
            self.reset()
        finally:
            for writer in (self.client, self.server):
                if writer is not None:
                    writer.close()

    def reset(self) -> None:
        """End both sides with RST, as a peer that died does."""
        for writer in (self.client, self.server):
            if writer is None or writer.is_closing():
                continue
            if (peer := writer.get_extra_info("socket")) is not None:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, stream: str) -> None:
        """Read and write apart, so that latency delays what flows without slowing it."""
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(QUEUED)

        async def deliver() -> None:
            while True:
                arrived, data = await queue.get()
                await self._suffer(stream, arrived, data)
                if not data:
                    break
                writer.write(data)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()

        async with asyncio.TaskGroup() as group:
            group.create_task(deliver())
            data = b"first"
            while data:
                data = await reader.read(CHUNK)
                await queue.put((loop.time(), data))

    async def _suffer(self, stream: str, arrived: float, data: bytes) -> None:
        """Let every toxic of STREAM act on one chunk."""
        now = asyncio.get_running_loop().time
        if blocking := self.front.find("timeout", stream):
            await self._swallow(blocking)
        if toxic := self.front.find("reset_peer", stream):
            await asyncio.sleep(toxic.attributes["timeout"] / 1000)
            raise ConnectionResetError("reset_peer")
        if toxic := self.front.find("latency", stream):
            jitter = toxic.attributes["jitter"]
            delay = toxic.attributes["latency"] + random.uniform(-jitter, jitter)
            await asyncio.sleep(max(0.0, arrived + delay / 1000 - now()))
        if toxic := self.front.find("bandwidth", stream):
            await asyncio.sleep(len(data) / 1000 / max(toxic.attributes["rate"], 0.001))

    async def _swallow(self, toxic: Toxic) -> None:
        """Hold everything until the toxic is gone, or cut the connection after its timeout."""
        patience = toxic.attributes["timeout"] / 1000 or None
        try:
            async with asyncio.timeout(patience):
                while toxic in self.front.toxics.values():
                    await self.front.changed.wait()
        except TimeoutError:
            raise ConnectionResetError("timeout") from None


class Front:
    """The listener before one server, with its toxics."""

    def __init__(self, name: str, port: int, upstream: int) -> None:
        self.name, self.port, self.upstream = name, port, upstream
        self.toxics: dict[str, Toxic] = {}
        self.changed = asyncio.Event()
        self.links: set[Link] = set()
        self.listener: asyncio.Server | None = None

    def find(self, kind: str, stream: str) -> Toxic | None:
        """The toxic of this kind that acts on STREAM, if there is one."""
        return next((toxic for toxic in self.toxics.values() if (toxic.type, toxic.stream) == (kind, stream)), None)

    async def apply(self) -> None:
        """Make the listener and the open links as the toxics say."""
        # Wakes those that wait; who waits next gets a new event.
        self.changed.set()
        self.changed = asyncio.Event()
        down = any(toxic.type == "down" for toxic in self.toxics.values())
        if down and self.listener is not None:
            self.listener.close()
            self.listener = None
            for link in list(self.links):
                link.reset()
        elif not down and self.listener is None:
            self.listener = await asyncio.start_server(self._accept, HOST, self.port)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = Link(self, (reader, writer))
        self.links.add(link)
        try:
            await link.run()
        finally:
            self.links.discard(link)


class Control:
    """Answers the requests on the unix socket."""

    def __init__(self, fronts: dict[str, Front]) -> None:
        self.fronts = fronts

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request, one answer, for as long as the client stays."""
        with suppress(ConnectionError):
            while line := await reader.readline():
                try:
                    reply = {"ok": True, "fronts": await self._do(json.loads(line))}
                except (ValueError, TypeError, KeyError) as error:
                    reply = {"ok": False, "error": str(error)}
                writer.write(json.dumps(reply).encode() + b"\n")
                await writer.drain()
        writer.close()

    async def _do(self, request: dict[str, Any]) -> Toxics:
        handlers: dict[str, Callable[..., None]] = {"add": self._add, "remove": self._remove, "list": lambda: None}
        handlers[request.pop("do")](**request)
        for front in self.fronts.values():
            await front.apply()
        return {name: [asdict(toxic) for toxic in front.toxics.values()] for name, front in self.fronts.items()}

    def _add(self, front: str, **toxic: Any) -> None:
        new = Toxic(**toxic)
        self.fronts[front].toxics[new.name] = new

    def _remove(self, front: str, name: str) -> None:
        self.fronts[front].toxics.pop(name, None)


async def serve(ports: dict[str, tuple[int, int]], control: str) -> None:
    """Listen before every server of PORTS (its front's, its own) until told to stop."""
    fronts = {name: Front(name, *pair) for name, pair in ports.items()}
    for front in fronts.values():
        await front.apply()
    # A unix socket that a killed process left is in the way.
    with suppress(FileNotFoundError):
        os.unlink(control)  # noqa: PTH108 - one system call at the start, which no request waits for
    server = await asyncio.start_unix_server(Control(fronts).answer, control)
    await server.serve_forever()


class FaultProxy(Server):
    """The fault proxy as a process of the lab."""

    name = "fault-proxy"

    @property
    def control(self) -> Path:
        """Its unix socket."""
        return self.site.runtime / "fault-proxy.sock"

    def prepare(self) -> None:
        """Which port stands before which."""
        fronts = {name: [self.site.front(name), self.site.port(name)] for name, kind in kinds().items() if kind.fronted}
        write_private(self.site.path("fault-proxy.json"), json.dumps(fronts))

    def process(self) -> Process:
        """This module."""
        arguments = [str(self.site.path("fault-proxy.json")), str(self.control)]
        return Process.of_module(__name__, arguments)

    def ready(self) -> None:
        """It answers on its control socket, which it opens last."""
        self.ask("list")

    def ask(self, do: str, **request: Any) -> Toxics:
        """The toxics of each front after a request: `list`, `add` or `remove`."""
        return ask(self.control, do, **request)


def ask(control: Path, do: str, **request: Any) -> Toxics:
    """The toxics of each front after a request to the fault proxy that answers on the unix socket CONTROL."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(str(control))
        connection.sendall(json.dumps({"do": do, **request}).encode() + b"\n")
        with connection.makefile("rb") as answer:
            line = answer.readline()
    if not line:
        raise NotReady("no answer")
    reply = json.loads(line)
    if not reply["ok"]:
        raise LabError(f"the fault proxy refuses: {reply['error']}")
    return cast("Toxics", reply["fronts"])


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(serve(json.loads(Path(sys.argv[1]).read_text()), sys.argv[2]))

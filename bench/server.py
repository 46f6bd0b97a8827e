"""A server that answers 200 after a delay, on many loopback addresses: `python -m bench.server HOSTS DELAY`."""

from __future__ import annotations

import asyncio
import resource
import socket
import sys

from bench.projects import address


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
    """Answer every request of one connection."""
    try:
        while await reader.readuntil(b"\r\n\r\n"):
            await asyncio.sleep(delay)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main(hosts: int, delay: float) -> None:
    """Listen on HOSTS addresses, one port, and print it."""
    port = 0
    for number in range(hosts):
        listening = socket.create_server((address(number), port), backlog=512)
        port = listening.getsockname()[1]
        await asyncio.start_server(lambda reader, writer: answer(reader, writer, delay), sock=listening)
    print(port, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        asyncio.run(main(int(sys.argv[1]), float(sys.argv[2])))
    except KeyboardInterrupt:
        sys.exit(130)

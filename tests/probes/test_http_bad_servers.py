"""The HTTP probe on servers that do not answer, or not as servers should: a message for people, in time, within memory."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import struct
import time
import tracemalloc
from collections.abc import Callable

import pytest
from pytest_runbook.errors import Unmeasured, Unreachable
from pytest_runbook.probes._fetch import HttpSettings
from pytest_runbook.probes._response import Response
from pytest_runbook.probes.http import Http

from tests.probes.sites import Handler, Site, reply, request_of, run, serving


def web(url: str, **settings: object) -> Http:
    return Http("web", HttpSettings.model_validate({"kind": "http", "url": url, "timeout": 1.0, **settings}))


async def get(url: str, path: str = "/health", **settings: object) -> Response:
    probe = web(url, **settings)
    try:
        return await probe.get(path)
    finally:
        await probe.close()


async def get_from(handler: Handler, path: str = "/health", **settings: object) -> Response:
    async with serving(handler) as port:
        return await get(f"http://127.0.0.1:{port}", path, **settings)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def stalls_after_headers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await request_of(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
    await reader.read()


async def trickles(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await request_of(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
    for _ in range(100):
        writer.write(b".")
        await writer.drain()
        await asyncio.sleep(0.1)


async def trickles_headers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await request_of(reader)
    writer.write(b"HTTP/1.1 200 OK\r\n")
    for number in range(100):
        writer.write(f"X-{number}: y\r\n".encode())
        await writer.drain()
        await asyncio.sleep(0.1)


async def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await request_of(reader)


async def closes_in_the_middle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await request_of(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")


async def closes_in_the_middle_of_a_chunk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await request_of(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nhalf")


async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await request_of(reader)
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@pytest.mark.parametrize("handler", [never, stalls_after_headers, trickles, trickles_headers])
def test_an_answer_that_does_not_come_in_time_is_unreachable(handler: Handler) -> None:
    begun = time.monotonic()
    with pytest.raises(Unreachable, match=r'^"http://127.0.0.1:\d+/health" did not answer within 500 ms$'):
        run(get_from(handler, timeout=0.5))
    assert time.monotonic() - begun < 3


@pytest.mark.parametrize(
    ("handler", "words"),
    [
        (closes, "closed the connection without an answer"),
        (closes_in_the_middle, "closed the connection in the middle of its answer"),
        (closes_in_the_middle_of_a_chunk, "closed the connection in the middle of its answer"),
        (resets, "reset the connection"),
    ],
)
def test_a_connection_that_breaks_is_unreachable(handler: Handler, words: str) -> None:
    with pytest.raises(Unreachable, match=f'^"http://127.0.0.1:[0-9]+/health" {words}$'):
        run(get_from(handler))


def test_a_refused_connection_says_so() -> None:
    port = free_port()
    with pytest.raises(Unreachable) as raised:
        run(get(f"http://user:canary@127.0.0.1:{port}"))
    assert str(raised.value) == f'"http://127.0.0.1:{port}/health" refused the connection'


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://does-not-exist.invalid", "does not resolve: "),
        (f"http://{'x' * 70}.example", "does not resolve: "),
        ("http://xn--.example", "does not resolve: not a host name"),
    ],
)
def test_a_host_name_that_does_not_resolve_says_so(url: str, words: str) -> None:
    with pytest.raises(Unreachable) as raised:
        run(get(url, timeout=10))
    assert f'"{url}/health" {words}' in str(raised.value)


def test_what_is_not_http_is_unmeasured() -> None:
    async def speaks_ssh(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
        await reader.read()

    with pytest.raises(Unmeasured, match=r"did not answer in HTTP: illegal status line.*SSH-2.0") as raised:
        run(get_from(speaks_ssh))
    assert not isinstance(raised.value, Unreachable)


def test_redirects_for_ever_are_given_up() -> None:
    site = Site({"/health": reply(302, "", {"Location": "/health"})})
    with pytest.raises(Unmeasured, match=r'/health" redirects more than 3 times$'):
        run(get_from(site, follow_redirects=True, max_redirects=3))
    assert len(site.requests) == 4


@pytest.mark.parametrize("location", ["http://host:99999/", "http://[::1/", "ftp://host/", "\x7f"])
def test_a_redirect_to_nowhere_is_not_followed_into_a_crash(location: str) -> None:
    site = Site({"/health": reply(302, "", {"Location": location})})
    with pytest.raises(Unmeasured):
        run(get_from(site, follow_redirects=True))


def test_an_error_page_where_json_was_expected_is_named() -> None:
    page = "<!doctype html>\n<html><body>Bad gateway</body></html>"
    answer = run(get_from(Site({"/health": reply(200, page, {"Content-Type": "text/html; charset=utf-8"})})))
    with pytest.raises(Unmeasured) as raised:
        answer.json()
    assert (
        'answered 200 with text/html; charset=utf-8 where JSON was expected: "<!doctype html> <html><body>Bad'
        in str(raised.value)
    )


@pytest.mark.parametrize("body", [b"", b"[" * 100_000, b"\xff\xfe\x00", b'{"a": 1} and more'])
def test_json_that_cannot_be_read_is_unmeasured(body: bytes) -> None:
    answer = run(get_from(Site({"/health": reply(200, body)})))
    with pytest.raises(Unmeasured, match="where JSON was expected"):
        answer.json()


def test_text_in_an_unknown_or_wrong_encoding_is_read_all_the_same() -> None:
    for charset in ("klingon", "ascii"):
        page = reply(200, "café".encode(), {"Content-Type": f"text/plain; charset={charset}"})
        answer = run(get_from(Site({"/health": page})))
        assert answer.text.startswith("caf")
        json.dumps(answer.summary())


async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await request_of(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n")
    for _ in range(10_000):
        writer.write(b"x" * 1_000_000)
        await writer.drain()


async def endless_chunks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await request_of(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        await writer.drain()


async def endless_headers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await request_of(reader)
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X-More: " + b"x" * 8000 + b"\r\n")
        await writer.drain()


def bomb() -> Site:
    packed = gzip.compress(b"\0" * 200_000_000, 9)
    return Site({"/health": reply(200, packed, {"Content-Encoding": "gzip"})})


@pytest.mark.parametrize("make", [lambda: endless, lambda: endless_chunks, bomb], ids=["10 GB", "chunks", "bomb"])
def test_an_answer_that_is_too_large_is_unmeasured_within_memory(make: Callable[[], Handler]) -> None:
    handler = make()
    tracemalloc.start()
    try:
        with pytest.raises(Unmeasured, match=r'/health" answered more than 2000000 bytes$'):
            run(get_from(handler, max_bytes=2_000_000, timeout=20))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20_000_000


def test_headers_without_end_are_unmeasured() -> None:
    with pytest.raises(Unmeasured, match="did not answer in HTTP"):
        run(get_from(endless_headers, timeout=5))


def test_a_broken_or_unknown_encoding_is_unmeasured() -> None:
    broken = {"Content-Encoding": "gzip"}
    pages = {
        "/broken": reply(200, b"not gzip at all", broken),
        "/half": reply(200, gzip.compress(b"x" * 100_000)[:-20], broken),
        "/unknown": reply(200, b"???", {"Content-Encoding": "middle-out"}),
    }
    for path, words in [
        ("/broken", "answered broken gzip"),
        ("/half", "in the middle of its answer"),
        ("/unknown", 'answered in the unknown encoding "middle-out"'),
    ]:
        with pytest.raises(Unmeasured, match=words):
            run(get_from(Site(pages), path))


def test_a_secret_header_that_is_not_valid_is_not_shown() -> None:
    with pytest.raises(Unmeasured, match="a header set for it is not valid HTTP") as raised:
        run(get_from(Site(), headers={"X-Api-Key": "canary\nfolded"}))
    assert "canary" not in str(raised.value)


def test_a_sample_of_a_dead_server_ends_early() -> None:
    async def work() -> None:
        async with serving(never) as port:
            probe = web(f"http://127.0.0.1:{port}", timeout=0.3)
            try:
                await probe.sample("/", requests=100, concurrency=5)
            finally:
                await probe.close()

    begun = time.monotonic()
    with pytest.raises(Unreachable, match="did not answer within 300 ms"):
        run(work())
    assert time.monotonic() - begun < 2

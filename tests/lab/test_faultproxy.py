"""The fault proxy carries bytes unharmed, and each toxic does what Toxiproxy's of that name does, also to open connections."""

from __future__ import annotations

import json
import os
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.servers.faultproxy import Toxics, ask
from lab.site import LabError
from tests.labs import ROOT
from tests.probes.databases import free_port, until

PROMPT = 0.5
"""Seconds within which an undisturbed answer is there, on a busy machine too."""


class Echo(socketserver.BaseRequestHandler):
    """Sends back what it gets."""

    def handle(self) -> None:
        while data := self.request.recv(65536):
            self.request.sendall(data)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A reset is what these tests are about."""


@dataclass
class Link:
    """A fault proxy before an echo server."""

    port: int
    control: Path

    def add(self, kind: str, stream: str = "downstream", **attributes: int) -> Toxics:
        return ask(self.control, "add", front="echo", name=kind, type=kind, stream=stream, attributes=attributes)

    def remove(self, kind: str) -> None:
        ask(self.control, "remove", front="echo", name=kind)

    @contextmanager
    def toxic(self, kind: str, stream: str = "downstream", **attributes: int) -> Iterator[None]:
        self.add(kind, stream, **attributes)
        try:
            yield
        finally:
            self.remove(kind)

    def open(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def ask(self, data: bytes = b"hello") -> float:
        """Seconds until DATA came back over a connection of its own."""
        with self.open() as connection:
            return echo(connection, data)


def echo(connection: socket.socket, data: bytes = b"hello") -> float:
    """Seconds until DATA came back."""
    begun = time.monotonic()
    sender = threading.Thread(target=connection.sendall, args=(data,))
    sender.start()
    received = b""
    while len(received) < len(data):
        part = connection.recv(65536)
        assert part, "the connection ended early"
        received += part
    sender.join()
    assert received == data
    return time.monotonic() - begun


@contextmanager
def serving(port: int = 0) -> Iterator[int]:
    """The port of an echo server."""
    with Server(("127.0.0.1", port), Echo) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def before(port: int, folder: Path) -> Iterator[Link]:
    """A fault proxy before PORT; it complains of nothing."""
    own, control = free_port(), folder / "s"
    (folder / "fronts.json").write_text(json.dumps({"echo": [own, port]}))
    command = [sys.executable, "-m", "lab.servers.faultproxy", str(folder / "fronts.json"), str(control)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE) as proxy:
        try:
            until(control.exists)
            yield Link(own, control)
        finally:
            proxy.terminate()
        assert proxy.communicate(timeout=5)[1] == b""


@pytest.fixture(scope="module")
def link(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Link]:
    with serving() as port, before(port, tmp_path_factory.mktemp("p")) as made:
        yield made


def test_without_toxics_every_byte_passes(link: Link) -> None:
    assert link.ask() < PROMPT
    link.ask(os.urandom(3_000_000))


def test_a_half_closed_connection_still_carries_the_answer(link: Link) -> None:
    with link.open() as connection:
        connection.sendall(b"last words")
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as answer:
            assert answer.read() == b"last words"


def test_latency_delays_the_first_byte_and_not_each_chunk(link: Link) -> None:
    with link.toxic("latency", latency=300):
        assert 0.3 <= link.ask() < 0.3 + PROMPT
        assert 0.3 <= link.ask(os.urandom(1_000_000)) < 1.5
    assert link.ask() < PROMPT


def test_latency_acts_on_the_stream_it_names(link: Link) -> None:
    with link.toxic("latency", "upstream", latency=200), link.toxic("latency", "downstream", latency=0):
        assert link.ask() < 0.2 + PROMPT
    with link.toxic("latency", "upstream", latency=200):
        assert link.ask() >= 0.2


def test_bandwidth_is_kilobytes_a_second(link: Link) -> None:
    with link.toxic("bandwidth", rate=500):
        assert 0.8 <= link.ask(os.urandom(500_000)) < 1.6


def test_timeout_swallows_everything_until_it_is_removed(link: Link) -> None:
    with link.open() as before:
        assert echo(before) < PROMPT
        with link.toxic("timeout"):
            before.settimeout(0.3)
            before.sendall(b"hello")
            with pytest.raises(TimeoutError):
                before.recv(5)
            with link.open() as after:
                after.settimeout(0.3)
                after.sendall(b"hello")
                with pytest.raises(TimeoutError):
                    after.recv(5)
        before.settimeout(5)
        assert before.recv(5) == b"hello"


def test_timeout_with_a_time_cuts_the_connection_then(link: Link) -> None:
    with link.toxic("timeout", timeout=200), link.open() as connection:
        begun = time.monotonic()
        connection.sendall(b"hello")
        with pytest.raises(ConnectionResetError):
            connection.recv(5)
        assert time.monotonic() - begun >= 0.2


def test_reset_peer_resets_in_flight(link: Link) -> None:
    with link.open() as connection:
        echo(connection)
        with link.toxic("reset_peer"):
            connection.sendall(b"hello")
            with pytest.raises(ConnectionResetError):
                connection.recv(5)


def test_down_refuses_and_cuts_what_is_open(link: Link) -> None:
    with link.open() as connection:
        echo(connection)
        with link.toxic("down"):
            with pytest.raises(ConnectionResetError):
                connection.recv(5)
            with pytest.raises(ConnectionRefusedError):
                link.open()
    assert link.ask() < PROMPT


def test_a_server_that_is_away_resets_and_is_back_at_once(tmp_path: Path) -> None:
    away = free_port()
    with before(away, tmp_path) as other:
        with other.open() as connection, pytest.raises(ConnectionResetError):
            connection.recv(1)
        with serving(away):
            assert other.ask() < PROMPT


def test_equal_names_replace_each_other_and_the_list_shows_them(link: Link) -> None:
    with link.toxic("latency", latency=100):
        shown = link.add("latency", latency=5)
        assert shown == {
            "echo": [
                {
                    "name": "latency",
                    "type": "latency",
                    "stream": "downstream",
                    "attributes": {"latency": 5, "jitter": 0},
                }
            ]
        }
    assert ask(link.control, "list") == {"echo": []}


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"front": "echo", "name": "x", "type": "gremlin"}, 'unknown toxic "gremlin" (known: bandwidth, down, latency'),
        ({"front": "echo", "name": "x", "type": "latency", "attributes": {"late": 1}}, "not ['late']"),
        ({"front": "echo", "name": "x", "type": "down", "stream": "sideways"}, 'unknown stream "sideways"'),
        ({"front": "elsewhere", "name": "x", "type": "down"}, "elsewhere"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_known_words(
    link: Link, request_: dict[str, object], said: str
) -> None:
    with pytest.raises(LabError) as raised:
        ask(link.control, "add", **request_)
    assert said in str(raised.value)
    assert link.ask() < PROMPT

"""The traffic visits both services as their users do, gently, and goes on when they are away."""

from __future__ import annotations

import io
import re
import threading
import time
import wave
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

from lab import traffic
from tests.lab.standins import Home, make_home, service
from tests.probes.databases import until

SHARE = 0.03
"""Part of one core that the traffic may take."""


@contextmanager
def visited(port: int) -> Iterator[Counter[str]]:
    """A server at PORT that counts what it is asked."""
    seen: Counter[str] = Counter()

    class Counting(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(b'<input name="csrf_token" value="token-of-the-form">')

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen["token" if b"csrf_token=token-of-the-form" in body else "file" if b"RIFF" in body else "else"] += 1
            self._answer(b"")

        def _answer(self, body: bytes) -> None:
            seen[f"{self.command} {re.sub(r'[?].*', '', self.path)}"] += 1
            self.send_response(200)
            self.send_header("Set-Cookie", "session=abc; Secure")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", port), Counting) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield seen
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return make_home(tmp_path)


def test_it_visits_both_services_as_their_users_do(home: Home) -> None:
    with service("traffic", home), visited(home.web_port) as web, visited(home.ml_port) as ml:
        until(lambda: web["GET /"] and web["GET /api/v1/predictions"], seconds=30)
        until(lambda: web["token"] and ml["file"], seconds=60)
    assert web["POST /login"] >= web["token"] > 0
    assert ml["file"] == ml["POST /predict/upload"]


def test_it_goes_on_when_the_services_come_late(home: Home) -> None:
    with service("traffic", home):
        time.sleep(1)
        with visited(home.web_port) as web:
            until(lambda: sum(web.values()) > 3, seconds=30)


def test_it_is_gentle(home: Home) -> None:
    with service("traffic", home) as process, visited(home.web_port) as web, visited(home.ml_port):
        until(lambda: sum(web.values()) > 3, seconds=30)
        used, begun, visits = psutil.Process(process.pid), time.monotonic(), sum(web.values())
        before = sum(used.cpu_times()[:2])
        time.sleep(5)
        lasted = time.monotonic() - begun
        assert (sum(used.cpu_times()[:2]) - before) / lasted < SHARE
        assert 1 < (sum(web.values()) - visits) / lasted < 10


def test_a_whistle_is_a_recording() -> None:
    with wave.open(io.BytesIO(traffic.whistle())) as file:
        assert (file.getframerate(), file.getsampwidth(), file.getnchannels()) == (16_000, 2, 1)
        assert file.getnframes() == 8000

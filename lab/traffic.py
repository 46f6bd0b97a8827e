"""`python -m lab.traffic`: people who use the lab's services all day, so that its figures move; gentle, and never gives up.

`LAB_WEB_URL` and `LAB_ML_URL` say where to. Services that are down are asked again at the same pace.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import math
import os
import random
import re
import signal
import sys
import threading
import time
import wave
from array import array
from collections.abc import Callable, Mapping
from typing import NoReturn
from urllib.parse import urlencode

from lab.serving import client
from lab.serving.client import Answer

VISITORS = 2
"""At once, so that not everybody waits for a service that is slow."""
PACE = 0.6
"""Seconds between two requests of one of them, on average."""
NAME, PASSWORD = "night-warden", "long-night-of-the-lab"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
TOKEN = re.compile(rb'name="csrf_token" value="([^"]+)"')
RATE = 16_000


class Visitor:
    """Does what users do, one thing at a time."""

    def __init__(self, web: str, ml: str) -> None:
        self.web, self.ml = web, ml
        self.habits: Mapping[Callable[[], object], int] = {
            self.home: 30,
            self.list_predictions: 30,
            self.open_login: 12,
            self.classify: 12,
            self.submit: 6,
            self.sign_in: 6,
            self.mistype: 4,
        }

    def run(self) -> NoReturn:
        """Visit until the process is told to end."""
        while True:
            time.sleep(random.uniform(0.3, 1.7) * PACE)
            (habit,) = random.choices(list(self.habits), list(self.habits.values()))
            with contextlib.suppress(OSError, http.client.HTTPException):
                habit()

    def home(self) -> None:
        """Open the home page."""
        client.ask(self.web, "GET", "/")

    def list_predictions(self) -> None:
        """Look at somebody's latest recordings."""
        client.ask(self.web, "GET", f"/api/v1/predictions?user={random.randint(1, 50)}&limit=20")

    def open_login(self) -> None:
        """Open the sign-in page, and leave."""
        client.ask(self.web, "GET", "/login")

    def sign_in(self) -> None:
        """Sign in; who is not known yet registers first."""
        if self._send("/login", PASSWORD).status == 401:
            self._send("/register", PASSWORD)
            self._send("/login", PASSWORD)

    def mistype(self) -> None:
        """Sign in with a wrong password."""
        self._send("/login", PASSWORD[::-1])

    def classify(self) -> None:
        """Have a recording classified at once."""
        client.upload(self.ml, "/predict/upload", "visit.wav", whistle())

    def submit(self) -> None:
        """Hand in a recording, to be classified later."""
        client.upload(self.web, "/api/v1/predictions", "visit.wav", whistle())

    def _send(self, path: str, password: str) -> Answer:
        """The answer to a form, sent as a browser would over HTTPS: with the cookie and the token that came with it."""
        page = client.ask(self.web, "GET", path)
        token = TOKEN.search(page.body)
        fields = {"username": NAME, "password": password, "csrf_token": token[1].decode() if token else ""}
        headers = {**FORM, "Cookie": page.headers.get("Set-Cookie", "").partition(";")[0]}
        return client.ask(self.web, "POST", path, urlencode(fields).encode(), headers)


def whistle() -> bytes:
    """Half a second of a tone that glides and flutters, as WAV."""
    pitch, glide, flutter = random.uniform(300, 5000), random.uniform(-600, 600), random.uniform(3, 40)
    samples = array("h")
    for number in range(RATE // 2):
        moment = number / RATE
        loudness = 9000 * (1 + math.sin(2 * math.pi * flutter * moment))
        samples.append(int(loudness * math.sin(2 * math.pi * (pitch + glide * moment) * moment)))
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())
    return buffer.getvalue()


def main() -> None:
    """Visit the services that the environment names, until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    for _ in range(VISITORS):
        visitor = Visitor(os.environ["LAB_WEB_URL"], os.environ["LAB_ML_URL"])
        threading.Thread(target=visitor.run, daemon=True).start()
    threading.Event().wait()


if __name__ == "__main__":
    main()

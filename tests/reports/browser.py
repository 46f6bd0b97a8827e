"""A real browser for tests of pages: Chromium without a window, spoken to through a pipe in its own protocol."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

PATH = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
"""The browser of this machine; None when it has none."""


class Page:
    """One tab: what it shows, what it logged, what it asked the network for."""

    def __init__(self, process: subprocess.Popen[bytes], write: int, read: int) -> None:
        self._process, self._write, self._read = process, write, read
        self._buffer, self._number, self._session = b"", 0, ""
        self.events: list[dict[str, Any]] = []

    @classmethod
    @contextmanager
    def opened(cls, profile: Path, width: int = 1280, height: int = 900, *arguments: str) -> Iterator[Self]:
        """A tab of WIDTH x HEIGHT; the browser is gone afterwards."""
        assert PATH is not None
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-pipe"]
        # The protocol is spoken on descriptors 3 and 4: a step in between puts ours there.
        script = "import os, sys; a, b = map(int, sys.argv[1:3]); os.dup2(a, 90); os.dup2(b, 91); "
        script += "os.dup2(90, 3); os.dup2(91, 4); os.execv(sys.argv[3], sys.argv[3:])"
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                script,
                str(theirs_in),
                str(theirs_out),
                PATH,
                *options,
                f"--user-data-dir={profile}",
                *arguments,
            ],
            pass_fds=(theirs_in, theirs_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        page = cls(process, ours_out, ours_in)
        try:
            target = page.call("Target.createTarget", url="about:blank")["targetId"]
            page._session = page.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network"):
                page.call(f"{domain}.enable")
            page.resize(width, height)
            yield page
        finally:
            os.killpg(process.pid, 9)
            process.wait()
            os.close(ours_out)
            os.close(ours_in)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Ask the browser to do METHOD and wait for its answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer["error"]
                return dict(answer["result"])

    def open(self, url: str) -> float:
        """Show URL; seconds until it was loaded and had been painted."""
        begun, known = time.perf_counter(), len(self.events)
        self.call("Page.navigate", url=url)
        while not any(event["method"] == "Page.loadEventFired" for event in self.events[known:]):
            self._next()
        self.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        return time.perf_counter() - begun

    def evaluate(self, script: str) -> Any:
        """The value of SCRIPT in the page."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def resize(self, width: int, height: int) -> None:
        """Make the screen WIDTH x HEIGHT."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )

    def emulate(self, **features: str) -> None:
        """Pretend that a person prefers FEATURES, for example `prefers_color_scheme="dark"`."""
        wanted = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.call("Emulation.setEmulatedMedia", features=wanted)

    def screenshot(self, path: Path, whole: bool = False) -> Path:
        """Keep at PATH what is seen, or the WHOLE page."""
        data = self.call("Page.captureScreenshot", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))
        return path

    @property
    def requests(self) -> list[str]:
        """Addresses that the page asked for."""
        seen = (event for event in self.events if event["method"] == "Network.requestWillBeSent")
        return [event["params"]["request"]["url"] for event in seen]

    @property
    def complaints(self) -> list[str]:
        """What the page logged as an error, and exceptions that nobody caught."""
        found = []
        for event in self.events:
            if event["method"] == "Runtime.exceptionThrown":
                found.append(json.dumps(event["params"]["exceptionDetails"]))
            elif event["method"] == "Log.entryAdded" and event["params"]["entry"]["level"] == "error":
                found.append(event["params"]["entry"]["text"])
            elif event["method"] == "Page.javascriptDialogOpening":
                found.append(f"dialog: {event['params']['message']}")
        return found

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            part = os.read(self._read, 1 << 20)
            assert part, "the browser ended"
            self._buffer += part
        line, self._buffer = self._buffer.split(b"\0", 1)
        message: dict[str, Any] = json.loads(line)
        if "method" in message:
            self.events.append(message)
        return message

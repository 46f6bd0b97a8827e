"""Starts a service of the system on what was restored: an ordinary process, told by its environment where the data are."""

from __future__ import annotations

import http.client
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pytest_runbook import clock
from pytest_runbook.backup.restore import scratch
from pytest_runbook.backup.restore.postgresql import HOST, free_port
from pytest_runbook.errors import RestoreError
from pytest_runbook.runbooks import family
from pytest_runbook.settings.drill import DrillService

LOG = "service.log"
KEPT = ("PATH", "HOME", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH")
"""What it gets of our own variables: any other may be the address of something that is in use."""


@contextmanager
def serving(own: DrillService, home: Path, places: Mapping[str, str]) -> Iterator[str]:
    """The URL of the service that OWN tells of, on the data at PLACES, in the scratch folder HOME; ended with the block."""
    port = free_port()
    words = {**places, "port": str(port)}
    around = scratch.environment(home)
    mark = f"{around[family.MARK]}/{LOG}"
    kept = {name: value for name, value in around.items() if name in KEPT} | {family.MARK: mark}
    variables = {name: _filled(text, words) for name, text in own.environment.items()}
    with (home / LOG).open("wb") as log:
        process = subprocess.Popen(
            [_filled(word, words) for word in own.command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=home,
            env={**kept, **variables},
            start_new_session=True,
        )
    try:
        _until_it_serves(own, process, port, home / LOG)
        yield f"http://{HOST}:{port}"
    finally:
        family.end(lambda: family.of(process, mark), grace=0.0)


def _filled(text: str, words: Mapping[str, str]) -> str:
    """TEXT with each `{name}` that is one of WORDS replaced; other braces stay what they are."""
    for name, value in words.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def _until_it_serves(own: DrillService, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline, seen = clock.monotonic() + own.timeout, "no answer"
    while clock.monotonic() < deadline:
        if process.poll() is not None:
            raise RestoreError(f"the service ended with status {process.returncode}\n{_said(log)}")
        connection = http.client.HTTPConnection(HOST, port, timeout=5)
        try:
            connection.request("GET", own.health)
            status = connection.getresponse().status
            if status == 200:
                return
            seen = f"status {status}"
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()
        time.sleep(0.05)
    raise RestoreError(f"the service does not serve on what was restored ({seen} of {own.health})\n{_said(log)}")


def _said(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(f"  | {line}" for line in lines[-15:])

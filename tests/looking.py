"""Runs some of the project's own checks on this machine, without a lab, and gives the record; serves what they look at."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from pytest_runbook.model import RunRecord

ROOT = Path(__file__).parent.parent


def looked(checks: Iterable[str], told: Mapping[str, Any], report: Path, *, plain: bool = False) -> RunRecord:
    """The record in the folder REPORT of CHECKS, by their ids, with the settings TOLD; PLAIN: as who is not root."""
    settings = [f"--set={key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in told.items()]
    tried = ["--set=confirm.of=1", "--set=confirm.failures=1", f"--report={report}"]
    names = " or ".join(f"({' and '.join(name.replace('::', '/').split('/')[1:])})" for name in checks)
    less = ["setpriv", "--bounding-set=-all"] if plain and os.geteuid() == 0 else []
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
    done = subprocess.run(
        [*less, sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-k", names, *settings, *tried, "checks"],
        cwd=ROOT,
        env=inherited | {"NIGHTSCAN_ENV": "production"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (report / "run.json").is_file(), done.stdout + done.stderr
    return RunRecord.from_json(json.loads((report / "run.json").read_text()))


@contextmanager
def answering(
    status: int, headers: Iterable[tuple[str, str]] = (), bodies: Iterator[str] | None = None
) -> Iterator[str]:
    """The address of a web service that answers every request with STATUS, HEADERS and the next of BODIES (none: empty)."""

    class Answer(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = next(bodies).encode() if bodies else b""
            self.send_response(status)
            for name, value in (*headers, ("Content-Length", str(len(body)))):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            """Keep still."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            serving.join()

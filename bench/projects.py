"""Small projects to measure on, and the server that their checks ask."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

INI = "[pytest]\npython_files = checks/*.py\naddopts = --import-mode=importlib -p no:cacheprovider\n"
ACTIVE = INI + "runbook_settings = settings.toml\n"
PLAIN = ("-p", "no:runbook")
"""Options that leave the engine out."""


def write(folder: Path, files: dict[str, str]) -> Path:
    """Write FILES, name to text, below FOLDER."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@contextmanager
def server(hosts: int = 1, delay: float = 0.0) -> Iterator[int]:
    """A server on HOSTS loopback addresses that answers 200 after DELAY seconds; gives the port they share."""
    command = [sys.executable, "-m", "bench.server", str(hosts), str(delay)]
    with subprocess.Popen(command, cwd=Path(__file__).parent.parent, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.terminate()


def address(number: int) -> str:
    """The loopback address of host NUMBER."""
    return f"127.1.{number // 250}.{number % 250 + 1}"

"""A test run that is terminated leaves nothing of its labs running, however it was terminated."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab import leftovers
from tests.labs import ROOT

WAITING = """
import time
from pathlib import Path

def test_waits(lab):
    Path("folder").write_text(str(lab.folder))
    time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("workers", ["0", "1"])
def test_lab_ends_with_the_run_that_started_it(tmp_path: Path, number: signal.Signals, workers: str) -> None:
    (tmp_path / "test_waiting.py").write_text(WAITING)
    (tmp_path / "pytest.ini").write_text("[pytest]")
    with (tmp_path / "output").open("w") as output:
        run = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "pytest",
                "-p",
                "tests.conftest",
                f"-n{workers}",
                "--basetemp=temp",
                "test_waiting.py",
            ],
            cwd=tmp_path,
            env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "PYTHONPATH": str(ROOT)},
            stdout=output,
            stderr=output,
        )
    try:
        folder = Path(_told(tmp_path / "folder", run))
        assert leftovers.find(folder)
        run.send_signal(number)
        run.wait(60)
        deadline = time.monotonic() + 60
        while (left := leftovers.find(folder) or folder.exists()) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert not left, (tmp_path / "output").read_text()
    finally:
        run.kill()
        run.wait()


def _told(file: Path, run: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + 120
    while not (file.exists() and file.read_text()):
        assert run.poll() is None, (file.parent / "output").read_text()
        assert time.monotonic() < deadline, "the lab does not come up"
        time.sleep(0.1)
    return file.read_text()

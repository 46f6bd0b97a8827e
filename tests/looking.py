"""Runs some of the project's own checks on this machine, without a lab, and gives the record."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
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

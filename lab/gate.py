"""The main job: a whole system comes up, is verified as before and after a deployment and at night, and goes down again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from lab import Lab

ROOT = Path(__file__).parent.parent
RUNS = (("predeploy", "predeploy"), ("postdeploy-daily", "postdeploy or daily"))
"""Folder name and mark expression of each pytest run."""


def main(arguments: list[str]) -> int:
    """Run the gate, ARGUMENTS handed to pytest; the exit code of the first run that is not green, else 0."""
    lab = Lab(ROOT / "var" / "gate" / "lab")
    reports = ROOT / "var" / "gate" / "reports"
    try:
        lab.up(progress=lambda line: print(f"lab: {line}", flush=True))
        codes = [check(expression, reports / name, lab, arguments) for name, expression in RUNS]
    finally:
        print("lab: going down", flush=True)
        lab.down()
    print("\nreports:")
    for name, _ in RUNS:
        print(f"  {(reports / name / 'report.html').as_uri()}")
    return next((code for code in codes if code), 0)


def check(expression: str, folder: Path, lab: Lab, arguments: list[str]) -> int:
    """Exit code of pytest for the checks of EXPRESSION against LAB, reports in FOLDER."""
    command = [sys.executable, "-m", "pytest", "-m", expression, f"--report={folder}", *arguments]
    print(f'\n$ pytest -m "{expression}" --report={folder.relative_to(ROOT)}', flush=True)
    return subprocess.run(command, cwd=ROOT, env=os.environ | lab.environment(), check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

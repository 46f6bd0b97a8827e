"""Start one process of the lab as its entry in `processes.json` says; imports a little of the standard library only.

    launch.py processes.json NAME

Command, environment and folder stand in JSON because supervisord's own configuration cannot hold every value, and
because it would show secrets. A server that refuses to run as root gets another user here.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
from pathlib import Path

BECOME = Path(__file__).parents[1] / "plugins" / "pytest_runbook" / "become.py"
"""Loaded by its path: nothing that is installed can be imported here."""


def run_process(file: str, name: str) -> None:
    """Become the process NAME of FILE."""
    spec = json.loads(Path(file).read_text())[name]
    os.chdir(spec["directory"])
    if spec["user"] is not None:
        runpy.run_path(str(BECOME))["become"](spec["user"], spec["command"])
    told = {**version(spec["version_file"]), **spec["environment"]}
    os.execvpe(spec["command"][0], spec["command"], {**os.environ, **told})


def version(file: str | None) -> dict[str, str]:
    """VERSION as FILE says it now, the last line of several, as compose reads it."""
    try:
        lines = Path(file).read_text().splitlines() if file else []
    except OSError:
        return {}
    return dict(line.split("=", 1) for line in lines if line.startswith("VERSION="))


if __name__ == "__main__":
    run_process(*sys.argv[1:])

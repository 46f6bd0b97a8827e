"""A drill of the whole lab: from the bucket, with the web service and the recovery checks on what was restored."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from lab import Lab

ROOT = Path(__file__).parents[2]


def test_the_lab_can_be_restored_from_its_bucket_and_serves(lab: Lab, tmp_path: Path) -> None:
    argv = [sys.executable, "-c", "from pytest_runbook.cli import main; main()", "drill", "--json"]
    told = {**os.environ, **lab.environment(), "RUNBOOK__DRILL__REPORTS": str(tmp_path)}
    done = subprocess.run(argv, cwd=ROOT, env=told, capture_output=True, text=True, check=False)
    paper = json.loads(done.stdout)
    assert (done.returncode, paper["verdict"], paper["source"]) == (0, "proven", "s3"), paper
    assert "service" in {phase["name"] for phase in paper["phases"] if phase["outcome"] == "done"}
    passed, _, every = paper["checks"].split()[:3]
    assert passed == every
    assert int(passed) >= 10  # of database, cache and web
    assert not any(lab.site.secret(name) in done.stdout + done.stderr for name in ("database", "cache", "storage"))

"""What a system has not is left out of its checks: skipped, with the setting that says so."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from pytest_runbook.model import Outcome, RunRecord

ROOT = Path(__file__).parent.parent


def test_a_database_without_alembic_has_no_migrations_to_look_at(tmp_path: Path) -> None:
    asked = [
        "-k",
        "migrations_are_applied",
        "--set=facts.database.alembic=false",
        f"--report={tmp_path}",
        "checks/database",
    ]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *asked]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False, timeout=120)
    [seen] = RunRecord.from_json(json.loads((tmp_path / "run.json").read_text())).results
    assert (seen.outcome, done.returncode) == (Outcome.SKIPPED, 5)
    assert seen.message == "the database's tables are not made by Alembic: facts.database.alembic is false"

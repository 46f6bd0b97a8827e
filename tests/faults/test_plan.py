"""A plan on an ill system says what would be done, and leaves the system exactly as ill as it was."""

from __future__ import annotations

import hashlib
import time
from contextlib import ExitStack
from pathlib import Path

from pytest_runbook.model import StepOutcome

from lab import Lab
from lab.rounds import run_checks
from tests.faults.conftest import Bench

ILLS = (
    "web-stopped",
    "database-forgotten-transaction",
    "host-old-logs",
    "cache-policy-changed",
    "cache-expired-left",
    "standby-paused",
)


def state(lab: Lab) -> dict[str, object]:
    """What a step could have changed: processes, settings of the servers, sessions, keys, files."""
    files = {
        str(path.relative_to(lab.folder)): _digest(path)
        for folder in ("nightscan", "cache-conf", "proxy", "tls")
        for path in sorted((lab.folder / folder).rglob("*"))
        if path.is_file() and path.suffix != ".log" and "uploads" not in path.parts
    }
    return {
        "processes": {one.name: (one.state, one.pid) for one in lab.status()},
        "redis": lab.redis("CONFIG", "GET", "*"),
        "expired": sorted(lab.redis("KEYS", "*expired*")),
        "postgresql": lab.sql("SELECT name, setting FROM pg_settings ORDER BY name"),
        "standby": lab.sql("SELECT pg_is_wal_replay_paused()", server="standby"),
        "forgotten": lab.sql(
            "SELECT pid FROM pg_stat_activity WHERE state = 'idle in transaction' AND xact_start < now() - interval '1 s'"
        ),
        "files": files,
    }


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_plan_changes_nothing(bench: Bench, tmp_path: Path) -> None:
    lab = bench.lab
    history = tmp_path / "history.db"
    with ExitStack() as stack:
        for ill in ILLS:
            stack.enter_context(bench.fault(ill))
        time.sleep(2)  # the forgotten session is old enough to be told from those of users
        before = state(lab)
        record = run_checks(
            tmp_path / "run",
            lab.environment() | {"RUNBOOK__HISTORY__URL": f"sqlite:///{history}"},
            "--remediate=plan",
            "--max-risk=restart",
            expression="daily",
        )
        after = state(lab)
    assert after == before
    assert not history.exists()
    planned = {r.check.runbook for r in record.results for step in r.steps if step.outcome == StepOutcome.WOULD_RUN}
    assert planned >= {"web-unavailable", "database-slow", "logs-old", "cache-memory", "cache-expired-keys"}
    assert not any(step.started for result in record.results for step in result.steps)
    assert all(step.actions for result in record.results for step in result.steps)

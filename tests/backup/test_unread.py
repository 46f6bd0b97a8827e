"""A backup counts when it was read back: until then, for as long as that may take, the one before it is judged."""

from __future__ import annotations

import json
from pathlib import Path

from pytest_runbook import clock
from pytest_runbook.backup import verified, verify
from pytest_runbook.model import Outcome

from lab.rounds import run_checks
from tests.backup.conftest import Backups


def seen(backups: Backups, folder: Path, **limits: float) -> tuple[str, str]:
    """What the check of the newest backup here says."""
    environment = {
        **backups.lab.environment(),
        **backups.variables,
        **{f"RUNBOOK__LIMITS__BACKUP__{name.upper()}": str(value) for name, value in limits.items()},
    }
    record = run_checks(folder, environment, "checks/storage/freshness.py", expression="predeploy")
    (result,) = [one for one in record.results if one.check.id == "storage/freshness::recent_backup_is_good"]
    return result.outcome, result.message or ""


def test_one_that_is_still_being_read_leaves_the_one_before_good(backups: Backups, tmp_path: Path) -> None:
    backups.make()
    unread = backups.make().manifest.id
    backups.local.forget(unread, "verified.json")
    assert seen(backups, tmp_path / "soon") == (Outcome.PASSED, "")
    outcome, message = seen(backups, tmp_path / "later", reading=0)
    assert (outcome, f'nobody has read "{unread}" back: runbook backup --verify {unread} does' in message) == (
        Outcome.FAILED,
        True,
    )


def test_the_only_one_has_to_be_read(backups: Backups, tmp_path: Path) -> None:
    unread = backups.make().manifest.id
    backups.local.forget(unread, "verified.json")
    outcome, message = seen(backups, tmp_path / "run")
    assert (outcome, f'nobody has read "{unread}" back' in message) == (Outcome.FAILED, True)


def test_one_that_was_read_and_found_bad_is_bad_at_once(backups: Backups, tmp_path: Path) -> None:
    backups.make()
    bad = backups.make().manifest.id
    toc = backups.local.path(bad) / "database" / "toc.dat"
    whole = toc.read_bytes()
    toc.write_bytes(whole[:-1])
    assert verify(backups.local, bad).reasons == ["truncated"]
    note = backups.local.noted(bad, "refuted.json")
    assert note and (note["reasons"], verified(backups.local, bad)) == (["truncated"], False)
    assert clock.parse(note["at"]) <= clock.now()
    assert "toc.dat" not in json.dumps(note)
    toc.write_bytes(whole)
    outcome, message = seen(backups, tmp_path / "bad")
    assert (outcome, f'who read "{bad}" back found it truncated' in message) == (Outcome.FAILED, True)
    assert verify(backups.local, bad).good
    assert backups.local.noted(bad, "refuted.json") is None
    assert seen(backups, tmp_path / "good") == (Outcome.PASSED, "")

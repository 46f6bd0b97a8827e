"""What a system has not is left out of its checks: skipped, with the setting that says so."""

from __future__ import annotations

from pathlib import Path

from pytest_runbook.model import Outcome

from tests.looking import looked


def test_a_database_without_alembic_has_no_migrations_to_look_at(tmp_path: Path) -> None:
    record = looked(["database/consistency::migrations_are_applied"], {"facts.database.alembic": False}, tmp_path)
    [seen] = record.results
    assert (seen.outcome, record.exit_code) == (Outcome.SKIPPED, 5)
    assert seen.message == "the database's tables are not made by Alembic: facts.database.alembic is false"

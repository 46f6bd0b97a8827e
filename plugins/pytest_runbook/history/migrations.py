"""Brings the tables of an earlier version to this one, one version at a time; what stands in them stays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from sqlalchemy import Connection, insert, text

from pytest_runbook.history.schema import VERSION, deployments, metadata, phases, versions


def _deployments(connection: Connection) -> None:
    """Version 2 keeps deployments, phase by phase."""
    metadata.create_all(connection, [deployments, phases], checkfirst=False)


def _touched(connection: Connection) -> None:
    """Version 3 keeps which services a step starts or stops."""
    connection.execute(text("ALTER TABLE intents ADD COLUMN touched JSON"))


STEPS: Mapping[int, Callable[[Connection], None]] = {2: _deployments, 3: _touched}
"""Version to what makes it of the one before."""


def migrate(connection: Connection, version: int, now: datetime) -> None:
    """Bring the tables from VERSION to ours, in the transaction of CONNECTION: all of it or nothing."""
    for step in range(version + 1, VERSION + 1):
        STEPS[step](connection)
        connection.execute(insert(versions).values(version=step, made=now))

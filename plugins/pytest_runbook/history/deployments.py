"""Deployments: each phase stands here before it begins, so that whoever finds a killed one knows where it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, insert, or_, select, update

from pytest_runbook.errors import UsageError
from pytest_runbook.history.base import Part, added, changed, process_of
from pytest_runbook.history.rows import DeploymentKind, DeploymentOutcome, DeploymentRow, Life, PhaseOutcome, PhaseRow
from pytest_runbook.history.schema import deployments, locks, phases

COLUMNS = [
    deployments.c[name]
    for name in (
        *("id", "run", "kind", "version", "services", "before", "options", "who", "host", "pid"),
        *("started", "ended", "outcome", "why", "held", "backup", "baseline"),
    )
]


class Deployments(Part):
    """Deployments of this system."""

    def begin_deployment(
        self,
        run: str,
        kind: DeploymentKind,
        version: str,
        before: Mapping[str, str],
        *,
        who: str,
        options: Mapping[str, Any],
        baseline: Mapping[str, Any] | None = None,
    ) -> int:
        """Note that WHO begins to put VERSION where BEFORE ran; the answer names the deployment.

        UsageError when one is not at its end yet. The caller holds the lock under which deployments are made.
        """
        values: dict[str, Any] = {
            "run": run,
            "kind": kind,
            "version": version,
            "who": who,
            "options": dict(options),
            **self._scope,
        }
        values |= self._holder()
        values |= {"services": list(before), "before": dict(before), "baseline": baseline}
        with self._database.write() as connection:
            if other := self._filled(connection, self._found().where(deployments.c.ended.is_(None))):
                raise in_the_way(other[0])
            return added(connection, insert(deployments).values(**values, started=self._now()))

    def take_deployment(self, deployment: int, run: str) -> None:
        """Note that this process goes on with DEPLOYMENT, as RUN; the phase that a dead one left open is `unknown`."""
        cut = update(phases).where(phases.c.deployment == deployment, phases.c.ended.is_(None))
        taken = update(deployments).where(deployments.c.id == deployment, deployments.c.ended.is_(None))
        with self._database.write() as connection:
            connection.execute(cut.values(ended=self._now(), outcome="unknown", said="it was cut short"))
            connection.execute(taken.values(run=run, held=None, **self._holder()))

    def note_deployment(self, deployment: int, **known: Any) -> None:
        """Keep what became KNOWN of DEPLOYMENT: `backup`, `baseline`, `held`."""
        with self._database.write() as connection:
            connection.execute(update(deployments).where(deployments.c.id == deployment).values(**known))

    def end_deployment(
        self, deployment: int, outcome: DeploymentOutcome, why: str, *, run: str, ended: datetime | None = None
    ) -> bool:
        """Note how DEPLOYMENT, which RUN was at, ended; False when that is known already, or another run took it up.

        Who knows when it ENDED may say it again, when the answer was lost.
        """
        ended = ended or self._now()
        still = or_(deployments.c.ended.is_(None), deployments.c.ended == ended)
        open_ = update(deployments).where(deployments.c.id == deployment, deployments.c.run == run, still)
        with self._database.write() as connection:
            return changed(connection, open_.values(ended=ended, outcome=outcome, why=why, held=None))

    def enter_phase(self, deployment: int, phase: str, started: datetime | None = None) -> int:
        """Note that PHASE of DEPLOYMENT begins; the answer names it, the same one each time that it is of one STARTED."""
        values = {"deployment": deployment, "phase": phase, "started": started or self._now()}
        same = select(phases.c.id).where(*(phases.c[name] == value for name, value in values.items()))
        with self._database.write() as connection:
            known: int | None = connection.execute(same).scalar()
            return known or added(connection, insert(phases).values(**values))

    def leave_phase(
        self, phase: int, outcome: PhaseOutcome, said: str, duration: float, ended: datetime | None = None
    ) -> None:
        """Note how PHASE ended, after DURATION seconds."""
        done = update(phases).where(phases.c.id == phase)
        with self._database.write() as connection:
            connection.execute(done.values(ended=ended or self._now(), outcome=outcome, said=said, duration=duration))

    def deployment(self, deployment: int) -> DeploymentRow:
        """The row of DEPLOYMENT, with its phases."""
        with self._database.read() as connection:
            (row,) = self._filled(connection, self._found().where(deployments.c.id == deployment))
            return row

    def unfinished_deployment(self) -> DeploymentRow | None:
        """The one that is not at its end, if there is one."""
        with self._database.read() as connection:
            return next(iter(self._filled(connection, self._found().where(deployments.c.ended.is_(None)))), None)

    def life(self, deployment: int) -> Life:
        """What is known of the process of DEPLOYMENT, which is not at its end: it holds locks as long as it may act."""
        with self._database.read() as connection:
            row = connection.execute(select(deployments).where(deployments.c.id == deployment)).one()
            held = connection.execute(select(locks).where(self._ours(locks), locks.c.run == row.run)).all()
        if not held or process_of(row).gone:
            return "gone"
        return "silent" if all(self._silent(one) for one in held) else "lives"

    def deployments(self, limit: int = 20) -> list[DeploymentRow]:
        """Deployments with their phases, newest first."""
        with self._database.read() as connection:
            return self._filled(connection, self._found().limit(limit))

    def _found(self) -> Select[*tuple[Any, ...]]:
        return select(*COLUMNS).where(self._ours(deployments)).order_by(deployments.c.id.desc())

    def _filled(self, connection: Connection, found: Select[*tuple[Any, ...]]) -> list[DeploymentRow]:
        """The deployments FOUND, each with its phases."""
        rows = connection.execute(found).mappings().all()
        ids = [row["id"] for row in rows]
        wanted = select(phases).where(phases.c.deployment.in_(ids)).order_by(phases.c.id)
        told = [PhaseRow(**row) for row in connection.execute(wanted).mappings()]
        return [DeploymentRow(**row, phases=_of(told, row["id"])) for row in rows]


def _of(told: Sequence[PhaseRow], deployment: int) -> tuple[PhaseRow, ...]:
    return tuple(phase for phase in told if phase.deployment == deployment)


def in_the_way(row: DeploymentRow) -> UsageError:
    """What to say when the deployment ROW, which is not at its end, keeps another from beginning."""
    return UsageError(
        f"the deployment {row.id}, of {row.version}, is not at its end\n"
        "  hint: runbook deploy --status tells, --resume or --abort finishes it"
    )

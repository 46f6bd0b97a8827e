"""Watches: a check that was fixed is watched for a time, because absence of a failure right after a fix is no proof."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, ScalarSelect, and_, func, insert, select, update

from pytest_runbook.history.base import Part, changed
from pytest_runbook.history.rows import WatchRow
from pytest_runbook.history.schema import watches


class Watches(Part):
    """Verified fixes, and whether they held."""

    def watch(self, check: str, runbook: str, until: datetime) -> None:
        """Note that RUNBOOK fixed CHECK, verified, and that a failure before UNTIL is a recurrence."""
        values = {"check_id": check, "runbook": runbook, "since": self._now(), "until": until, **self._scope}
        with self._database.write() as connection:
            connection.execute(insert(watches).values(**values))

    def watched(self, check: str, now: datetime | None = None) -> WatchRow | None:
        """The newest verified fix of CHECK whose window has not passed at NOW."""
        found = select(watches).where(watches.c.id == self._newest(check, now or self._now()))
        with self._database.read() as connection:
            row = connection.execute(found).one_or_none()
        if row is None:
            return None
        return WatchRow(check, row.runbook, row.since, row.until, row.recurred, self.recurrences(check))

    def recurred(self, check: str) -> bool:
        """Note that the newest fix of CHECK did not hold; False when none is watched or that is known already."""
        now = self._now()
        broken = update(watches).where(watches.c.id == self._newest(check, now), watches.c.recurred.is_(None))
        with self._database.write() as connection:
            return changed(connection, broken.values(recurred=now))

    def recurrences(self, check: str, since: datetime | None = None) -> int:
        """How many fixes of CHECK did not hold, those that broke before SINCE left out."""
        broken = and_(self._of(check), watches.c.recurred.is_not(None))
        broken = broken if since is None else and_(broken, watches.c.recurred >= since)
        with self._database.read() as connection:
            return connection.execute(select(func.count(watches.c.id)).where(broken)).scalar_one()

    def _of(self, check: str) -> ColumnElement[bool]:
        return and_(self._ours(watches), watches.c.check_id == check)

    def _newest(self, check: str, now: datetime) -> ScalarSelect[int]:
        """Id of the last fix of CHECK that was made before NOW and is watched then."""
        open_ = and_(self._of(check), watches.c.since <= now, watches.c.until > now)
        return select(func.max(watches.c.id)).where(open_).scalar_subquery()

"""Earlier runs: how often a check passed, for figures such as uptime that no single look can give."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from pytest_runbook import clock
from pytest_runbook.errors import Unmeasured
from pytest_runbook.files import unreadable
from pytest_runbook.model import Outcome
from pytest_runbook.probes._plain import plain
from pytest_runbook.probes.base import Probe, ProbeSettings

RECORD = "run.json"
JOURNAL = "journal.jsonl"
ALIVE = 600.0
"""Seconds since the last entry of its journal within which a run without a record is taken to be still going."""
_NAME = re.compile(r"\d{8}T\d{6}Z")
_CUT_SHORT = re.compile(rb'"finished":\s*null|"interrupted":\s*true')
DOWN = frozenset({Outcome.FAILED, Outcome.TIMED_OUT, Outcome.BLOCKED, Outcome.REMEDIATED, Outcome.STILL_FAILING})
"""Outcomes that say that what the check is about was not so when it was looked at."""

Seen = Literal["passed", "failed", "unknown", "absent"]


class RunsSettings(ProbeSettings):
    """Settings of the runs probe."""

    folder: Path = Path("var/runs")
    """Where each run has a folder; the reports' own setting names the same."""
    max_runs: int = 1000
    """Runs that are looked at, the newest first."""
    max_bytes: int = 64_000_000
    """Size of a record that is read; a larger one counts as unknown."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """How often a check passed."""

    passed: int
    total: int
    """Runs in which it passed or did not."""
    unknown: int
    """Runs that did not tell: cut short, unreadable, or the check could not see, was waived or was skipped."""
    since: datetime
    """Time of the oldest run that was looked at, UTC; without one, the beginning of the time asked for."""

    @property
    def value(self) -> float:
        """PASSED by TOTAL; Unmeasured without any run."""
        if not self.total:
            raise Unmeasured(f"no run since {clock.iso(self.since)} tells ({self.unknown} unknown)")
        return self.passed / self.total


class Runs(Probe[RunsSettings]):
    """Reader of the records of earlier runs."""

    kind = "runs"
    remote = False
    Settings = RunsSettings

    @property
    def target(self) -> str:
        """The folder."""
        return str(self.settings.folder)

    async def ratio(self, check_id: str, days: float, environment: str | None = None) -> Ratio:
        """How often the check CHECK_ID passed in the runs (of ENVIRONMENT) of the last DAYS.

        It did not pass when it failed, timed out, was blocked, or passed only after its runbook: what users met counts.
        Waived runs, planned maintenance among them, do not count.
        """
        asked = f"runs of {check_id} in the last {days:g} days" + (f" ({environment})" if environment else "")
        return await self.observe(
            asked, lambda: self.limited(self.blocking(lambda: self._ratio(check_id, days, environment))), answer=plain
        )

    def _ratio(self, check_id: str, days: float, environment: str | None) -> Ratio:
        since = clock.now() - timedelta(days=days)
        counts: dict[Seen, int] = {"passed": 0, "failed": 0, "unknown": 0, "absent": 0}
        oldest = since
        for moment, folder in self._folders(since):
            counts[self._seen(folder, check_id, environment)] += 1
            oldest = moment
        return Ratio(counts["passed"], counts["passed"] + counts["failed"], counts["unknown"], oldest)

    def _folders(self, since: datetime) -> list[tuple[datetime, Path]]:
        """The newest folders of runs that began since SINCE, the newest first."""
        try:
            folders = [entry for entry in self.settings.folder.iterdir() if entry.is_dir()]
        except FileNotFoundError:  # a run that asks has made it: before the first one it is empty
            raise Unmeasured(
                f'"{self.target}" does not exist: runs are recorded elsewhere\n'
                f"  hint: let probes.{self.name}.folder be the folder that report.directory names"
            ) from None
        except OSError as error:
            raise unreadable(self.target, error) from None
        dated = sorted(((_begun(folder), folder) for folder in folders), reverse=True)
        return [(moment, folder) for moment, folder in dated[: self.settings.max_runs] if moment >= since]

    def _seen(self, folder: Path, check_id: str, environment: str | None) -> Seen:
        """What the run in FOLDER says of the check."""
        record = folder / RECORD
        try:
            if record.stat().st_size > self.settings.max_bytes:
                return "unknown"
            raw = record.read_bytes()
        except FileNotFoundError:
            return _without_record(folder)
        except OSError:
            return "unknown"
        # Most records need not be parsed: they are of another schedule.
        if (
            check_id.isascii()
            and check_id.encode() not in raw
            and raw.rstrip().endswith(b"}")
            and not _CUT_SHORT.search(raw)
        ):
            return "absent"
        return _judged(raw, check_id, environment)


def _begun(folder: Path) -> datetime:
    """When the run in FOLDER began, by its name, else when the folder was last written."""
    if _NAME.match(folder.name):
        try:
            return datetime.strptime(folder.name[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        except ValueError:
            pass
    try:
        return datetime.fromtimestamp(folder.stat().st_mtime, UTC)
    except OSError:
        return datetime.min.replace(tzinfo=UTC)  # gone since it was listed


def _without_record(folder: Path) -> Seen:
    """What a run that has written no record says: nothing while it goes on, else that it was killed."""
    try:
        age = clock.now().timestamp() - (folder / JOURNAL).stat().st_mtime
    except OSError:
        return "absent"  # no run at all
    return "absent" if age < ALIVE else "unknown"


def _judged(raw: bytes, check_id: str, environment: str | None) -> Seen:
    """What the record RAW says of the check."""
    try:
        record: Any = json.loads(raw)
        results = {result["check"]["id"]: result["outcome"] for result in record["results"]}
        if environment is not None and record["environment"] != environment:
            return "absent"
        cut_short = record.get("finished") is None or bool(record.get("interrupted"))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):  # whatever a broken record is broken in
        return "unknown"
    outcome = results.get(check_id)
    if outcome is None:
        return "unknown" if cut_short else "absent"
    if outcome == Outcome.PASSED:
        return "passed"
    return "failed" if outcome in DOWN else "unknown"

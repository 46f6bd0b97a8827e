"""Log files: what went wrong in a window of time, how long they have been silent, what should have been rotated away."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatch
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, field_validator

from pytest_runbook import clock
from pytest_runbook.errors import Unmeasured
from pytest_runbook.files import unreadable
from pytest_runbook.probes._logline import DISORDER, LogRecord, Reading, Scan, level_name, zone_of
from pytest_runbook.probes._plain import plain
from pytest_runbook.probes._tail import Budget, OpenFile, open_files
from pytest_runbook.probes.base import Probe, ProbeSettings

STRAY = 50
"""Old records in a row after which nothing new is expected above them: one writer's times may be of another zone."""
QUARTER = timedelta(minutes=15)
ZONES = timedelta(hours=26)
"""Time zones are whole quarters of an hour apart, never one beyond an hour, and so much at most."""
SHOWN = 5
"""Newest records that evidence shows."""


T = TypeVar("T")


class LogsSettings(ProbeSettings):
    """Settings of the logs probe."""

    folder: str = ""
    """Where `paths` lie, unless they are absolute."""
    paths: Annotated[tuple[str, ...], BeforeValidator(lambda given: (given,) if isinstance(given, str) else given)] = ()
    """Files or glob patterns; rotated siblings (`NAME.1`, `NAME-20261122.gz`) belong to them. Empty: not configured."""
    format: Literal["auto", "json", "text"] = "auto"
    """`json`: one object a line; `text`: a time at the head of each record; `auto`: each line says itself."""
    time_zone: str = "UTC"
    """Of times that name none: an IANA name, or `local`."""
    max_bytes: int = 20_000_000
    """Bytes that one call may read."""
    time_keys: tuple[str, ...] = ("timestamp", "@timestamp", "time", "ts", "asctime")
    level_keys: tuple[str, ...] = ("level", "levelname", "severity", "lvl", "log.level", "severity_text")
    message_keys: tuple[str, ...] = ("message", "msg", "event")
    """Keys of JSON records, the first one present counts; `log.level` may be one key, or one within another."""
    error_levels: tuple[str, ...] = ("ERROR", "CRITICAL", "FATAL", "PANIC", "ALERT", "EMERGENCY")

    @field_validator("time_zone")
    @classmethod
    def _known(cls, name: str) -> str:
        zone_of(name)
        return name


@dataclass(frozen=True, slots=True)
class Records:
    """Records of a window of time, oldest first; empty ones are false."""

    records: tuple[LogRecord, ...]
    since: datetime
    broken: int
    """Lines that are no record."""
    read: int
    """Bytes."""

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[LogRecord]:
        return iter(self.records)


@dataclass(frozen=True, slots=True)
class LogFile:
    """A log file that is still there."""

    path: str
    age: float
    """Seconds since it was last written."""
    size: int
    """Bytes."""


class Logs(Probe[LogsSettings]):
    """Reader of log files on this machine."""

    kind = "logs"
    remote = False
    Settings = LogsSettings

    def __init__(self, name: str, settings: LogsSettings) -> None:
        super().__init__(name, settings)
        self._reading = Reading(
            zone_of(settings.time_zone), settings.time_keys, settings.level_keys, settings.message_keys
        )
        self._bad = frozenset(map(level_name, settings.error_levels))

    @property
    def target(self) -> str:
        """The paths."""
        return " ".join(str(Path(self.settings.folder, path)) for path in self.settings.paths) or self.name

    async def records(self, since: float) -> Records:
        """Records of the last SINCE seconds; Unmeasured when not all of them could be read."""
        return await self._look(f"records of the last {since:g} s", lambda: self._window(since, lambda record: True))

    async def errors(self, since: float) -> Records:
        """Records of the last SINCE seconds with one of the error levels; Unmeasured when records show no levels."""
        return await self._look(
            f"errors of the last {since:g} s", lambda: self._window(since, self._is_error, levels=True)
        )

    async def last_record_age(self) -> float:
        """Seconds since the newest record of all files."""
        return await self._look("age of the last record", self._age)

    async def old_files(self, older_than: float, pattern: str = "*.log*") -> list[LogFile]:
        """Files named like PATTERN, in and below the folders of the logs, not written for OLDER_THAN seconds."""
        return await self._look(
            f'files "{pattern}" older than {older_than:g} s', lambda: self._old(older_than, pattern)
        )

    def _is_error(self, record: LogRecord) -> bool:
        return record.level in self._bad

    async def _look(self, operation: str, call: Callable[[], T]) -> T:
        return await self.observe(operation, lambda: self.limited(self.blocking(call)), answer=_summary)

    def _window(self, seconds: float, wanted: Callable[[LogRecord], bool], *, levels: bool = False) -> Records:
        since = clock.now() - timedelta(seconds=seconds)
        budget, scan = Budget(self.settings.max_bytes), Scan(self._reading, self.settings.format)
        found: list[LogRecord] = []
        with ExitStack() as stack:
            for file in open_files(self._patterns(), stack, since):
                records = scan.records(file.lines(budget), file.path.name)
                found += filter(wanted, self._within(since, file, scan, records))
        self._must_be_dated(scan)
        if levels and scan.dated and not scan.levels:
            raise Unmeasured(
                f'"{self.target}": none of {scan.dated} records says how bad it is\n'
                f"  hint: set probes.{self.name}.level_keys (now {', '.join(self.settings.level_keys)}), or log levels"
            )
        if budget.spent:
            raise Unmeasured(
                f'"{self.target}": {budget.size} bytes do not reach back {clock.duration(seconds)}, '
                f"{len(found)} found in them\n  hint: raise probes.{self.name}.max_bytes"
            )
        found.reverse()
        found.sort(key=lambda record: record.time or since)
        return Records(tuple(found), since, scan.broken, budget.size - budget.left)

    def _within(self, since: datetime, file: OpenFile, scan: Scan, records: Iterator[LogRecord]) -> Iterator[LogRecord]:
        """Those RECORDS that SCAN makes of FILE, the last one first, that were written after SINCE.

        One without a readable time counts by where it stands, and so does one whose time is old and that stands below a
        newer one: an error must not vanish.
        """
        latest, held = datetime.min.replace(tzinfo=UTC), list[LogRecord]()
        for record in records:
            latest = max(latest, record.time or latest)
            if record.time < since - DISORDER if record.time else held:
                held.append(record)
                if len(held) > STRAY:
                    break
            elif record.time is None or record.time >= since:
                yield from held
                held.clear()
                yield record
        self._must_agree(latest, file, scan)

    def _age(self) -> float:
        budget, scan = Budget(self.settings.max_bytes), Scan(self._reading, self.settings.format)
        newest = datetime.min.replace(tzinfo=UTC)
        with ExitStack() as stack:
            for file in open_files(self._patterns(), stack):
                if file.written < newest:
                    break  # and so are the rest: nothing newer is in them
                records = scan.records(file.lines(budget), file.path.name)
                if last := next((record.time for record in records if record.time), None):
                    self._must_agree(last, file, scan)
                    newest = max(newest, last)
        self._must_be_dated(scan)
        if not scan.dated:
            raise Unmeasured(f'"{self.target}" holds no record')
        age = (clock.now() - newest).total_seconds()
        if age < -DISORDER.total_seconds():
            raise Unmeasured(
                f'"{self.target}": the newest record is of {clock.iso(newest)}, in the future\n'
                f'  hint: set probes.{self.name}.time_zone (now "{self.settings.time_zone}")'
            )
        return max(age, 0.0)

    def _must_agree(self, latest: datetime, file: OpenFile, scan: Scan) -> None:
        """Times that are read in another zone than they were written in make what is new old, or what is old new.

        A line without a time, unless it is of a traceback, may have been written long after the LATEST record that SCAN made
        of FILE, and a rotated file may be a copy of later: then the two times say nothing.
        """
        apart = abs(latest - file.written)
        quarters = round(apart / QUARTER)
        of_zones = quarters and quarters % 4 != 1 and apart < ZONES
        if file.live and scan.ends_dated and of_zones and abs(apart - quarters * QUARTER) < DISORDER:
            raise Unmeasured(
                f'"{file.path}" was written at {clock.iso(file.written)} and its latest record is of {clock.iso(latest)}, '
                "as if in another time zone\n"
                f'  hint: set probes.{self.name}.time_zone (now "{self.settings.time_zone}")'
            )

    def _must_be_dated(self, scan: Scan) -> None:
        if not scan.dated and scan.broken:
            raise Unmeasured(f'"{self.target}": none of {scan.broken} lines has a time that can be read')

    def _old(self, seconds: float, pattern: str) -> list[LogFile]:
        before = clock.now() - timedelta(seconds=seconds)
        found = []
        for folder in sorted({Path(path).parent for path in self._patterns()}):
            if not folder.is_dir():
                raise Unmeasured(f'no folder "{folder}"')
            for place, _, names in os.walk(folder, onerror=_refuse):
                found += [
                    one
                    for name in names
                    if fnmatch(name, pattern)
                    for one in _written_before(Path(place, name), before)
                ]
        return sorted(found, key=lambda one: -one.age)

    def _patterns(self) -> list[str]:
        if not self.settings.paths:
            raise Unmeasured(f'probe "{self.name}" has no files\n  hint: set probes.{self.name}.paths')
        return [str(Path(self.settings.folder, path)) for path in self.settings.paths]


def _refuse(error: OSError) -> None:
    raise unreadable(Path(error.filename), error) from None


def _written_before(path: Path, before: datetime) -> Iterator[LogFile]:
    with suppress(FileNotFoundError):  # gone since it was listed
        seen = path.lstat()
        written = datetime.fromtimestamp(seen.st_mtime, UTC)
        if written < before:
            yield LogFile(str(path), (clock.now() - written).total_seconds(), seen.st_size)


def _summary(result: object) -> Any:
    if not isinstance(result, Records):
        return plain(result)
    newest = plain(result.records[-SHOWN:])
    return {"count": len(result), "broken": result.broken, "read": result.read, "newest": newest}

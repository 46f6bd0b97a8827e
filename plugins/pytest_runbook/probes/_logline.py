"""One line of a log in the forms that are common: when, how bad, what."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Literal
from zoneinfo import ZoneInfo

from pytest_runbook import clock

DISORDER = timedelta(seconds=60)
"""How much later than its time a record may stand in a file that several processes write, and how far a clock may be ahead."""
CONTINUED = 200
"""Lines of one text record (a traceback) that are kept."""
TRACE = (" ", "\t", "Traceback ")
"""How lines begin that are written at once with the text record above them."""
Zone = tzinfo | None
"""Where times that name no zone belong; None: to this machine's local time."""
MESSAGE = 2000
"""Characters of a message that are kept."""
ALIASES = {"WARN": "WARNING", "ERR": "ERROR", "CRIT": "CRITICAL", "EMERG": "EMERGENCY"}
ALIASES |= dict(
    zip("01234567", ("EMERGENCY", "ALERT", "CRITICAL", "ERROR", "WARNING", "NOTICE", "INFO", "DEBUG"), strict=True)
)
ALIASES |= {"10": "TRACE", "20": "DEBUG", "30": "INFO", "40": "WARNING", "50": "ERROR", "60": "FATAL"}
"""Words for levels, and the numbers of syslog and of pino and bunyan."""
_LEVELS = "TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERR|ERROR|CRIT|CRITICAL|FATAL|PANIC|ALERT|EMERG|EMERGENCY"
# In capitals anywhere, in any case where it is set apart: "an error occurred" in a message is no level.
_LEVEL = re.compile(rf"\b({_LEVELS})\b|[\[<(]({_LEVELS.lower()})[\]>)]|\blevel=\"?({_LEVELS.lower()})\b")
_ISO = re.compile(r"\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?: ?(?:Z|UTC|[+-]\d\d:?\d\d))?")
_COMMON = re.compile(r"\[(\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\]")
_SYSLOG = re.compile(r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d")
_EPOCH = re.compile(r"\d{10}(?:\.\d+)?(?=\s)")
_HEAD = 120
"""Characters at the beginning of a line among which its time and level stand."""


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One record of a log."""

    time: datetime | None
    """UTC; None when the record does not say."""
    level: str
    """In capitals and by its whole name: `ERROR`, `WARNING`, …; empty when the record does not say."""
    message: str
    source: str
    """Name of the file."""


@dataclass(frozen=True)
class Reading:
    """How records are read: the keys of JSON records and the zone of times that name none."""

    zone: Zone
    time_keys: tuple[str, ...]
    level_keys: tuple[str, ...]
    message_keys: tuple[str, ...]

    def json(self, line: str, source: str) -> LogRecord | None:
        """The record that LINE of the file SOURCE is in JSON; None when it is not."""
        try:
            data = json.loads(line)
        except (ValueError, RecursionError):
            return None
        if not isinstance(data, dict):
            return None
        if isinstance(data.get("log"), str) and "stream" in data:
            return self._wrapped(data, source)
        message = _first(data, self.message_keys)
        text = line if message is None else str(message)
        level = str(_first(data, self.level_keys) or "")
        return LogRecord(self.moment(_first(data, self.time_keys)), level_name(level), text[:MESSAGE], source)

    def _wrapped(self, data: Mapping[str, Any], source: str) -> LogRecord:
        """The line of a container in DATA, as docker's json-file driver writes and dates it."""
        line = data["log"].rstrip("\n")
        record = (self.json(line, source) if line.startswith("{") else None) or self.text(line, source)
        if record is None:
            record = LogRecord(None, _level(line[:_HEAD]), line[:MESSAGE], source)
        return replace(record, time=record.time or self.moment(data.get("time")))

    def text(self, line: str, source: str) -> LogRecord | None:
        """The record that LINE of the file SOURCE begins in plain text; None when no time stands at its head."""
        head = line[:_HEAD]
        for pattern, read in _FORMS:
            found = pattern.search(head) if pattern is _COMMON else pattern.match(head.lstrip("[<("))
            moment = read(found[found.lastindex or 0], self.zone) if found else None
            if moment:
                return LogRecord(moment, _level(head), line[:MESSAGE], source)
        return None

    def moment(self, value: Any) -> datetime | None:
        """The moment that VALUE of a JSON record means: ISO 8601, or an epoch in s, ms, µs or ns."""
        if isinstance(value, bool) or value is None:
            return None
        text = str(value).strip()
        try:
            return _epoch(float(text), self.zone)
        except ValueError:
            return _iso(text, self.zone)


class Scan:
    """Makes records of lines that come last one first; counts those that are none."""

    def __init__(self, reading: Reading, form: Literal["auto", "json", "text"]) -> None:
        self._reading = reading
        self._form = form
        self.broken = 0
        self.dated = 0
        """Records with a time."""
        self.levels = 0
        """Records with a level."""
        self.ends_dated: bool | None = None
        """Whether the lines that are being read end in a record with a time; what is below it may be of later."""

    def records(self, lines: Iterable[str], source: str) -> Iterator[LogRecord]:
        """Records of LINES, the last one first; lines without a time belong to the text record before them."""
        below: list[str] = []
        self.ends_dated = None
        for line in lines:
            record, continues = self._record(line, source)
            if record is None:
                below.append(line)
                continue
            if self.ends_dated is None:
                at_once = not below or (continues and below[-1].startswith(TRACE))
                self.ends_dated = at_once and record.time is not None
            if below and continues:
                text = "\n".join([record.message, *reversed(below[-CONTINUED:])])
                record = replace(record, message=text[:MESSAGE])
            else:
                self.broken += len(below)
            below.clear()
            self.dated += record.time is not None
            self.levels += bool(record.level)
            yield record
        self.broken += len(below)

    def _record(self, line: str, source: str) -> tuple[LogRecord | None, bool]:
        """The record that LINE is, if it is one, and whether the lines below it may belong to it."""
        if self._form != "text" and line.lstrip().startswith("{"):
            found = self._reading.json(line, source)
            if found or self._form == "json":
                return found, False
        return (self._reading.text(line, source) if self._form != "json" else None), True


def _level(head: str) -> str:
    found = _LEVEL.search(head)
    return level_name(next(filter(None, found.groups()))) if found else ""


def level_name(word: str) -> str:
    """WORD for a level by its whole name, in capitals."""
    name = word.strip().upper()
    return ALIASES.get(name, name)


def zone_of(name: str) -> Zone:
    """The zone called NAME: an IANA name, `UTC` or `local`."""
    if name in ("UTC", "local"):
        return UTC if name == "UTC" else None
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # a bad name can be each of these
        raise ValueError("must be an IANA time zone such as Europe/Paris, or UTC, or local") from None


def _first(data: Mapping[str, Any], keys: Iterable[str]) -> Any:
    """The first of KEYS that DATA have; `log.level` may be one key, or one within another."""
    return next((value for key in keys if (value := _value(data, key)) is not None), None)


def _value(data: Any, key: str) -> Any:
    if not isinstance(data, Mapping):
        return None
    outer, dot, inner = key.partition(".")
    return _value(data.get(outer), inner) if dot and key not in data else data.get(key)


def _iso(text: str, zone: Zone) -> datetime | None:
    text = text.replace("/", "-").replace(",", ".").replace(" UTC", "Z").replace(" +", "+").replace(" -", "-")
    try:
        return _utc(datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text)), zone)
    except ValueError:
        return None


def _epoch(value: float | str, zone: Zone) -> datetime | None:
    seconds = float(value)
    if not math.isfinite(seconds):
        return None
    for _finer in ("ms", "µs", "ns"):
        if seconds > 1e11:  # beyond the year 5000
            seconds /= 1000
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _common(text: str, zone: Zone) -> datetime | None:
    return _strptime(text, "%d/%b/%Y:%H:%M:%S %z", zone)


def _syslog(text: str, zone: Zone) -> datetime | None:
    """Times of the traditional syslog name no year: the latest that is not in the future, a day's leeway for clocks."""
    now = clock.now()
    for year in (now.year + 1, now.year, now.year - 1):
        moment = _strptime(f"{year} {text}", "%Y %b %d %H:%M:%S", zone)
        if moment and moment <= now + timedelta(days=1):
            return moment
    return None


def _strptime(text: str, form: str, zone: Zone) -> datetime | None:
    try:
        return _utc(datetime.strptime(text, form), zone)  # noqa: DTZ007 - `_utc` gives the zone to those without
    except ValueError:
        return None


def _utc(moment: datetime, zone: Zone) -> datetime:
    if moment.tzinfo:
        return moment.astimezone(UTC)
    # What has no zone by now is local: that is how `astimezone` reads it, summer time included. In autumn an hour comes
    # twice: it is the later one, unless that is still to come, for what is taken for older might be passed over.
    first, later = (moment.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    return later if first < later <= clock.now() + DISORDER else first


_FORMS: tuple[tuple[re.Pattern[str], Callable[[str, Zone], datetime | None]], ...] = (
    (_ISO, _iso),
    (_COMMON, _common),
    (_SYSLOG, _syslog),
    (_EPOCH, _epoch),
)

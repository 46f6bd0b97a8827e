"""The logs probe on real files: JSON lines and text, rotated, broken, huge, silent, from other time zones."""

from __future__ import annotations

import gzip
import json
import os
import tracemalloc
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError
from pytest_runbook import clock
from pytest_runbook.errors import Unmeasured, Unreachable
from pytest_runbook.evidence.context import Notebook
from pytest_runbook.probes._logline import Reading
from pytest_runbook.probes.logs import Logs, LogsSettings

from tests.probes.sites import run
from tests.probes.strangers import closed

HOUR = 3600.0


def logs(*paths: Path | str, **settings: Any) -> Logs:
    return Logs("logs", LogsSettings.model_validate({"kind": "logs", "paths": list(map(str, paths)), **settings}))


def ago(seconds: float) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=seconds)


def entry(seconds: float, level: str = "INFO", message: str = "fine", **more: Any) -> str:
    return json.dumps({"timestamp": ago(seconds).isoformat(), "level": level, "message": message, **more}) + "\n"


def text(seconds: float, rest: str) -> str:
    return f"{ago(seconds):%Y-%m-%d %H:%M:%S},123 {rest}\n"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "nightscan.log"


def aged(path: Path, seconds: float) -> Path:
    moment = ago(seconds).timestamp()
    os.utime(path, (moment, moment))
    return path


def test_errors_of_a_window_are_found_in_json_lines(log: Path) -> None:
    old = entry(2 * HOUR, "ERROR", "long ago")
    log.write_text(
        old + entry(60, "error", "one") + entry(50) + entry(40, "CRITICAL", "two") + entry(30, "WARNING", "no")
    )
    found = run(logs(log).errors(since=HOUR))
    assert [(record.level, record.message) for record in found] == [("ERROR", "one"), ("CRITICAL", "two")]
    assert (len(found), found.broken, bool(found)) == (2, 0, True)
    assert not run(logs(log).errors(since=10))


def wrapped(seconds: float, line: str) -> str:
    """LINE of a container, as docker's json-file driver writes it."""
    return json.dumps({"log": line, "stream": "stderr", "time": ago(seconds).isoformat()}) + "\n"


@pytest.mark.parametrize(
    "line",
    [
        wrapped(60, entry(60, "ERROR", "bad")),
        wrapped(60, json.dumps({"level": "ERROR", "message": "bad"}) + "\n"),
        wrapped(60, "[ERROR] bad\n"),
        json.dumps({"time": ago(60).isoformat(), "log.level": "error", "message": "bad"}) + "\n",
        json.dumps({"time": ago(60).isoformat(), "log": {"level": "error"}, "message": "bad"}) + "\n",
        json.dumps({"time": ago(60).timestamp(), "severity_text": "ERROR", "message": "bad"}) + "\n",
        json.dumps({"time": ago(60).timestamp() * 1000, "level": 50, "msg": "bad"}) + "\n",
        json.dumps({"timestamp": ago(60).timestamp(), "level": 3, "message": "bad"}) + "\n",
    ],
    ids=["docker", "docker-undated", "docker-text", "flat", "nested", "otel", "pino", "syslog"],
)
def test_levels_are_read_wherever_common_loggers_write_them(line: str, log: Path) -> None:
    log.write_text(line)
    (found,) = run(logs(log).errors(since=HOUR))
    assert (found.level, found.message.removeprefix("[ERROR] ")) == ("ERROR", "bad")


@pytest.mark.parametrize(
    "line",
    [text(60, "error: it is broken"), entry(60, "", "it is broken"), wrapped(60, "broken\n")],
    ids=["text", "json", "docker"],
)
def test_records_that_do_not_say_how_bad_they_are_are_no_good_ones(line: str, log: Path) -> None:
    log.write_text(line * 3)
    with pytest.raises(Unmeasured, match=r"none of 3 records says how bad it is\n  hint: set probes\.logs\.level_keys"):
        run(logs(log).errors(since=HOUR))
    assert len(run(logs(log).records(since=HOUR))) == 3
    log.write_text(line + entry(30))
    assert not run(logs(log).errors(since=HOUR))


def test_of_the_hour_that_comes_twice_in_autumn_the_later_one_counts_unless_it_is_still_to_come(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading = Reading(ZoneInfo("Europe/Paris"), ("time",), (), ())
    for now, meant in (
        ("2026-10-25T00:31:00Z", "2026-10-25T00:30:00Z"),
        ("2026-10-25T01:31:00Z", "2026-10-25T01:30:00Z"),
    ):
        monkeypatch.setattr(clock, "now", partial(clock.parse, now))
        record = reading.text("2026-10-25 02:30:00 ERROR bad", "log")
        assert record
        assert record.time == clock.parse(meant)


def test_all_records_of_a_window_come_oldest_first(log: Path) -> None:
    log.write_text("".join(entry(seconds, message=str(seconds)) for seconds in (50, 30, 40, 20)))
    found = run(logs(log).records(since=HOUR))
    assert [record.message for record in found] == ["50", "40", "30", "20"]
    assert {record.source for record in found} == {"nightscan.log"}


def test_errors_of_a_window_are_found_in_plain_text_with_their_tracebacks(log: Path) -> None:
    log.write_text(
        text(90, "INFO app: an error occurred elsewhere")
        + text(60, "ERROR app: prediction failed")
        + "Traceback (most recent call last):\n  File x\nValueError: bad wave\n"
        + text(50, "[warn] late")
    )
    [found] = run(logs(log).errors(since=HOUR))
    assert found.message.splitlines()[1:] == ["Traceback (most recent call last):", "  File x", "ValueError: bad wave"]


def test_broken_lines_are_counted_and_do_not_hide_the_rest(log: Path) -> None:
    log.write_bytes(
        entry(60, "ERROR", "before").encode()
        + b'{"timestamp": "2026-11-\n\xff\xfe\x00 garbage\n[1, 2]\n\n'
        + entry(50, "ERROR", "after").encode()
        + b'{"half'
    )
    found = run(logs(log).errors(since=HOUR))
    assert [record.message for record in found] == ["before", "after"]
    assert found.broken == 4


def test_an_error_without_a_readable_time_is_not_lost(log: Path) -> None:
    log.write_text(entry(60) + '{"level": "ERROR", "message": "when?", "timestamp": "yesterday"}\n' + entry(50))
    assert [record.message for record in run(logs(log).errors(since=HOUR))] == ["when?"]


def test_rotated_siblings_belong_to_the_window(log: Path) -> None:
    log.write_text(entry(10, "ERROR", "now"))
    log.with_name("nightscan.log.1").write_text(entry(100, "ERROR", "rotated"))
    with gzip.open(log.with_name("nightscan.log-20261122.gz"), "wt") as packed:
        packed.write(entry(300, "ERROR", "older") + entry(200, "ERROR", "packed"))
    stale = log.with_name("nightscan.log.3")
    stale.write_text(entry(0, "ERROR", "not written within the window"))
    aged(stale, 2 * HOUR)
    found = run(logs(log).errors(since=HOUR))
    assert [record.message for record in found] == ["older", "packed", "rotated", "now"]


def test_a_glob_names_several_files_each_once(tmp_path: Path) -> None:
    for name in ("web.log", "ml.log", "web.log.1"):
        (tmp_path / name).write_text(entry(10, "ERROR", name))
    found = run(logs("*.log", "*.log*", folder=str(tmp_path)).errors(since=HOUR))
    assert sorted(record.message for record in found) == ["ml.log", "web.log", "web.log.1"]


@pytest.mark.parametrize("name", ["gone.log", "gone*.log"])
def test_a_missing_file_is_unmeasured(tmp_path: Path, name: str) -> None:
    for look in ("last_record_age", "errors"):
        with pytest.raises(Unmeasured, match=f'no log file "{tmp_path}/{name.replace("*", ".")}') as raised:
            run(getattr(logs(tmp_path / name), look)(*([HOUR] if look == "errors" else [])))
        assert not isinstance(raised.value, Unreachable)


def test_a_folder_in_place_of_a_file_is_unmeasured(tmp_path: Path) -> None:
    with pytest.raises(Unmeasured, match=f'"{tmp_path}" is no file'):
        run(logs(tmp_path).errors(HOUR))


def test_a_file_that_may_not_be_read_is_unmeasured(tmp_path: Path) -> None:
    denied = "cannot be read: permission denied\n  hint: let user"
    with closed(tmp_path / "closed") as folder, pytest.raises(Unmeasured, match=f'"{folder}/a.log" {denied}'):
        run(logs(folder / "a.log").errors(HOUR))


def test_a_window_larger_than_what_may_be_read_is_unmeasured(log: Path) -> None:
    log.write_text("".join(entry(HOUR - number, "ERROR", f"{number}") for number in range(2000)))
    with pytest.raises(Unmeasured, match=r"20000 bytes do not reach back 2 h 0 min, \d+ found in them\n  hint: raise"):
        run(logs(log, max_bytes=20_000).errors(since=2 * HOUR))
    assert len(run(logs(log, max_bytes=20_000).errors(since=HOUR - 1949.5))) == 50


def test_a_packed_file_larger_than_what_may_be_read_is_unmeasured(log: Path) -> None:
    log.write_text(entry(10))
    with gzip.open(log.with_name("nightscan.log.1.gz"), "wb") as packed:
        packed.write(b"\n" * 50_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(Unmeasured, match="do not reach back"):
            run(logs(log, max_bytes=1_000_000).errors(since=HOUR))
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_a_broken_packed_file_is_unmeasured(log: Path) -> None:
    log.write_text(entry(10))
    log.with_name("nightscan.log.1.gz").write_bytes(gzip.compress(entry(20).encode())[:-12])
    with pytest.raises(Unmeasured, match=r"nightscan.log.1.gz\" cannot be read: broken gzip"):
        run(logs(log).errors(since=HOUR))


def test_a_huge_file_is_read_from_its_end_only(log: Path) -> None:
    with log.open("wb") as file:
        file.seek(5_000_000_000)
        file.write(b"\n" + "".join(entry(3 * HOUR - number) for number in range(100)).encode())
        file.write(entry(10, "ERROR", "last").encode())
    found = run(logs(log).errors(since=HOUR))
    assert [record.message for record in found] == ["last"]
    assert found.read < 200_000


def test_one_endless_line_is_bounded(log: Path) -> None:
    log.write_bytes(b"x" * 3_000_000)
    with pytest.raises(Unmeasured, match="do not reach back"):
        run(logs(log, max_bytes=1_000_000).errors(since=HOUR))


def test_the_age_of_the_last_record_is_measured(log: Path) -> None:
    log.write_text(entry(500) + entry(100) + "no record\n")
    assert 99 < run(logs(log).last_record_age()) < 110


def test_the_age_is_found_in_the_sibling_when_the_file_was_just_rotated(log: Path) -> None:
    log.write_text("")
    log.with_name("nightscan.log.1").write_text(entry(100))
    assert 99 < run(logs(log).last_record_age()) < 110


def test_an_empty_log_has_no_age(log: Path) -> None:
    log.write_text("")
    with pytest.raises(Unmeasured, match="holds no record"):
        run(logs(log).last_record_age())


def test_lines_without_any_time_are_unmeasured(log: Path) -> None:
    log.write_text("ERROR:app:no time at all\n" * 3)
    for work in (logs(log).last_record_age(), logs(log).errors(HOUR)):
        with pytest.raises(Unmeasured, match="none of 3 lines has a time that can be read"):
            run(work)


def test_times_without_a_zone_are_of_the_configured_one(log: Path) -> None:
    tokyo = datetime.now(timezone(timedelta(hours=9)))
    log.write_text(f"{tokyo:%Y-%m-%d %H:%M:%S} ERROR late\n")
    assert run(logs(log, time_zone="Asia/Tokyo").last_record_age()) < 5
    assert [record.message[20:] for record in run(logs(log, time_zone="Asia/Tokyo").errors(HOUR))] == ["ERROR late"]


@pytest.mark.parametrize(
    "below", ["", "Traceback (most recent call last):\nValueError: broken\n"], ids=["alone", "trace"]
)
@pytest.mark.parametrize("hours", [-5, 1, 5.75])
def test_times_read_in_another_zone_than_they_were_written_in_are_unmeasured(
    log: Path, hours: float, below: str
) -> None:
    there = datetime.now(UTC) + timedelta(hours=hours)
    moments = [there - timedelta(minutes=minutes) for minutes in (50, 20, 0)]
    log.write_text("".join(f"{moment:%Y-%m-%d %H:%M:%S} ERROR broken\n{below}" for moment in moments))
    for work in (logs(log).errors(300), logs(log).last_record_age()):
        said = rf'"{log}" was written at .* its latest record is of .*zone\n  hint: set probes.logs.time_zone \(now "UTC"\)'
        with pytest.raises(Unmeasured, match=said):
            run(work)


def test_a_record_in_the_future_is_unmeasured(log: Path) -> None:
    log.write_text(entry(-400))
    with pytest.raises(Unmeasured, match=r"in the future\n  hint: set probes\.logs\.time_zone"):
        run(logs(log).last_record_age())


def test_a_second_writer_of_another_zone_hides_no_error(log: Path) -> None:
    elsewhere = entry(5 * HOUR, "ERROR", "told in another zone")
    log.write_text(entry(2 * HOUR, "ERROR", "long ago") + entry(60, "ERROR", "new") + elsewhere + entry(1) + elsewhere)
    assert [record.message for record in run(logs(log).errors(since=HOUR))] == [*["told in another zone"] * 2, "new"]
    log.write_text(entry(1) + entry(-HOUR, "ERROR", "an hour ahead") + entry(0))
    with pytest.raises(Unmeasured, match="as if in another time zone"):
        run(logs(log).errors(since=HOUR))


def test_a_quiet_log_is_not_taken_for_one_of_another_zone(log: Path) -> None:
    log.write_text(text(HOUR, "INFO the last request") + "printed by a library, an hour later\n")
    assert HOUR - 1 < run(logs(log).last_record_age()) < HOUR + 10
    assert not run(logs(log).errors(since=HOUR / 2))

    log.write_text(text(1100, "INFO the last request"))
    aged(log, 200)  # somebody touched it: no zone is a quarter of an hour beyond a whole one
    assert 1099 < run(logs(log).last_record_age()) < 1110


def test_a_rotated_copy_is_newer_than_what_it_holds(log: Path) -> None:
    log.with_name("nightscan.log.1").write_text(text(HOUR, "INFO copied, and then truncated") + text(HOUR, "INFO last"))
    log.write_text("")
    assert HOUR - 1 < run(logs(log).last_record_age()) < HOUR + 10
    assert not run(logs(log).errors(since=HOUR / 2))


def test_what_was_written_long_ago_stays_old_whatever_stands_among_it(log: Path) -> None:
    undated = '{"level": "ERROR", "message": "when?", "timestamp": "yesterday"}\n'
    log.write_text((entry(3 * HOUR, "ERROR") + undated + entry(2 * HOUR)) * 100)
    aged(log, 2 * HOUR - 1)
    assert not run(logs(log).errors(since=1.9 * HOUR))
    log.write_text(entry(3 * HOUR, "ERROR") + undated + entry(2 * HOUR))
    aged(log, 1000)  # somebody touched it
    assert not run(logs(log).errors(since=HOUR))


NOW = datetime(2026, 11, 22, 18, 3, 5, tzinfo=UTC)
READING = Reading(UTC, ("time",), ("level",), ("message",))


@pytest.mark.parametrize(
    "value",
    [
        "2026-11-22T18:03:05Z",
        "2026-11-22T19:03:05.000+01:00",
        "2026-11-22 18:03:05,000",
        "2026/11/22 18:03:05",
        "2026-11-22T18:03:05.000000000Z",
        1795370585,
        1795370585.0,
        "1795370585000",
        1795370585000000,
        1795370585000000000,
    ],
)
def test_times_of_json_records_are_read(value: object) -> None:
    assert READING.moment(value) == NOW


@pytest.mark.parametrize("value", [None, True, "", "soon", "nan", "inf", 1e300, {}, [], -1e300])
def test_what_is_no_time_is_none(value: object) -> None:
    assert READING.moment(value) is None


@pytest.mark.parametrize(
    ("line", "level"),
    [
        ("2026-11-22 18:03:05,000 ERROR app: broken", "ERROR"),
        ("[2026-11-22 18:03:05 +0000] [123] [CRITICAL] worker timeout", "CRITICAL"),
        ("2026/11/22 18:03:05 [error] 31#31: connect() failed", "ERROR"),
        ("2026-11-22 18:03:05.000 UTC [77] FATAL:  password authentication failed", "FATAL"),
        ('127.0.0.1 - - [22/Nov/2026:19:03:05 +0100] "GET / HTTP/1.1" 200 5', ""),
        ("2026-11-22T18:03:05Z level=warn msg=slow", "WARNING"),
        ("1795370585 ERR something", "ERROR"),
    ],
)
def test_times_and_levels_of_text_records_are_read(line: str, level: str) -> None:
    record = READING.text(line, "a.log")
    assert record is not None
    assert (record.time, record.level) == (NOW, level)


def test_the_year_that_syslog_leaves_out_is_the_latest_possible() -> None:
    for days in (0, 30, 300):
        moment = ago(days * 86_400).replace(microsecond=0)
        record = READING.text(f"{moment:%b} {moment.day:2} {moment:%H:%M:%S} host sshd[1]: error: x", "auth.log")
        assert record is not None
        assert record.time == moment


def test_old_files_are_listed_oldest_first(tmp_path: Path) -> None:
    for name, days in [("a.log", 0), ("a.log.1", 31), ("deep/b.log.gz", 90), ("notes.txt", 90), ("c.log", 29)]:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x" * 10)
        aged(path, days * 86_400)
    found = run(logs(tmp_path / "a.log").old_files(older_than=30 * 86_400))
    assert [(Path(one.path).name, round(one.age / 86_400), one.size) for one in found] == [
        ("b.log.gz", 90, 10),
        ("a.log.1", 31, 10),
    ]
    with pytest.raises(Unmeasured, match='no folder "/does/not/exist"'):
        run(logs("/does/not/exist/a.log").old_files(1))


def test_evidence_counts_and_shows_the_newest(log: Path) -> None:
    log.write_text("".join(entry(100 - number, "ERROR", f"failure {number}") for number in range(50)))
    notebook = Notebook("one")
    run(logs(log).errors(since=HOUR), notebook)
    [seen] = notebook.observations
    assert (seen.target, seen.operation) == (str(log), "errors of the last 3600 s")
    assert seen.answer["count"] == 50
    assert [record["message"] for record in seen.answer["newest"]] == [f"failure {number}" for number in range(45, 50)]
    json.dumps(seen.answer)


def test_nothing_configured_is_unmeasured_and_bad_settings_are_refused() -> None:
    with pytest.raises(Unmeasured, match=r"hint: set probes\.logs\.paths"):
        run(logs().errors(1))
    assert LogsSettings.model_validate({"kind": "logs", "paths": "/var/log/a.log"}).paths == ("/var/log/a.log",)
    for bad in ({"time_zone": "Mars/Olympus"}, {"format": "xml"}, {"time_zone": "../etc/passwd"}):
        with pytest.raises(ValidationError):
            logs("a", **bad)

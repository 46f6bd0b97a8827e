"""What the stand-ins share: their environment, the log that several processes write, faults that are spread evenly."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab.serving.environment import Environment, read
from lab.serving.faults import Faults
from lab.serving.logs import JsonLines, SharedFile
from tests.lab.standins import ROOT

WRITER = """
import logging, sys
from pathlib import Path
from lab.serving.logs import JsonLines, SharedFile
handler = SharedFile(Path(sys.argv[1]), 20_000, 200)
handler.setFormatter(JsonLines())
logger = logging.getLogger("writer")
logger.addHandler(handler)
for number in range(1000):
    logger.warning("line", extra={"writer": sys.argv[2], "number": number, "filler": "x" * (number % 90)})
"""


def lines(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for path in folder.iterdir() for line in path.read_text().splitlines()]


def test_lines_of_several_processes_are_whole_and_none_is_lost_in_rotation(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    arguments = [sys.executable, "-c", WRITER, str(folder / "app.log")]
    writers = [subprocess.Popen([*arguments, name], cwd=ROOT) for name in "abc"]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    written = {(line["writer"], line["number"]) for line in lines(folder)}
    assert written == {(name, number) for name in "abc" for number in range(1000)}
    assert len(list(folder.iterdir())) > 10
    assert max(path.stat().st_size for path in folder.iterdir()) < 22_000


def test_only_so_many_old_files_are_kept_and_the_newest_comes_first(tmp_path: Path) -> None:
    handler = SharedFile(tmp_path / "app.log", max_bytes=200, backups=2)
    handler.setFormatter(logging.Formatter("%(message)s"))
    for number in range(20):
        handler.emit(logging.makeLogRecord({"msg": f"{number:03} {'x' * 90}"}))
    handler.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["app.log", "app.log.1", "app.log.2"]
    firsts = [path.read_text()[:3] for path in sorted(tmp_path.iterdir())]
    assert firsts == ["018", "015", "012"]


def test_log_that_was_moved_away_is_begun_again(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    handler = SharedFile(path, 10_000, 2)
    handler.setFormatter(JsonLines())
    handler.emit(logging.makeLogRecord({"msg": "before"}))
    path.rename(tmp_path / "moved.log")
    handler.emit(logging.makeLogRecord({"msg": "after"}))
    handler.close()
    assert json.loads(path.read_text())["message"] == "after"


def test_log_that_was_moved_away_can_be_kept(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    handler = SharedFile(path, 10_000, 2, kept=lambda: True)
    handler.setFormatter(JsonLines())
    path.rename(tmp_path / "moved.log")
    handler.emit(logging.makeLogRecord({"msg": "after"}))
    handler.close()
    assert json.loads((tmp_path / "moved.log").read_text())["message"] == "after"
    assert not path.exists()


def test_log_that_cannot_be_written_does_not_stop_the_service(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "app.log").mkdir()
    handler = SharedFile(tmp_path / "app.log", 10_000, 2)
    handler.emit(logging.makeLogRecord({"msg": "lost"}))
    handler.close()
    assert "IsADirectoryError" in capsys.readouterr().err


def test_exception_and_extra_values_are_in_the_record() -> None:
    try:
        raise ValueError("of the test")
    except ValueError:
        record = logging.makeLogRecord({"msg": "failed", "exc_info": sys.exc_info(), "path": Path("/x"), "created": 0})
    entry = json.loads(JsonLines().format(record))
    assert entry["timestamp"] == "1970-01-01T00:00:00.000Z"
    assert entry["path"] == "/x"
    assert "ValueError: of the test" in entry["exception"]


@pytest.mark.parametrize("value", [None, "***masked***"])
def test_null_and_masked_values_are_absent(value: object) -> None:
    environment = Environment({}, {"services": {"web_port": value}})
    assert environment.get("services.web_port", 8000) == 8000
    assert environment.get("database.pool_size", 10) == 10


def test_configuration_says_where_things_lie(tmp_path: Path) -> None:
    file = tmp_path / "config" / "production.json"
    file.parent.mkdir()
    file.write_text(json.dumps({"logging": {"log_filename": "web.log"}, "services": {"web_port": "8123"}}))
    environment = read({"NIGHTSCAN_CONFIG_FILE": str(file)})
    assert (environment.home, environment.uploads) == (tmp_path, tmp_path / "uploads")
    assert environment.log_file == tmp_path / "logs" / "web.log"
    assert environment.get("services.web_port", 8000) == 8123


@pytest.mark.parametrize(("share", "hits"), [(1.0, 100), (0.5, 50), (0.1, 10), (0.03, 3), (0.001, 1), (0.0, 0)])
def test_faults_are_spread_evenly_and_begin_at_once(tmp_path: Path, share: float, hits: int) -> None:
    (tmp_path / "web-faults.json").write_text(json.dumps({"slow": {"path": "/a*", "seconds": 1, "share": share}}))
    faults = Faults(tmp_path, "web")
    struck = [faults.hit("slow", "/about") is not None for _ in range(100)]
    assert sum(struck) == hits
    assert struck[0] is (hits > 0)
    assert faults.hit("slow", "/b") is None


def test_a_fault_that_a_restart_ends_counts_in_those_started_before_it(tmp_path: Path) -> None:
    before = Faults(tmp_path, "web")
    told = {"slow": {"seconds": 1}, "version": "0.9.9", "until_restart": {"slow": time.time()}}
    (tmp_path / "web-faults.json").write_text(json.dumps(told))
    assert (before.hit("slow", "/"), before.get("version")) == ({"seconds": 1}, "0.9.9")
    restarted = Faults(tmp_path, "web")
    assert (restarted.hit("slow", "/"), restarted.get("version")) == (None, "0.9.9")


def test_a_fault_that_lasts_for_a_time_is_over_after_it(tmp_path: Path) -> None:
    (tmp_path / "web-faults.json").write_text(json.dumps({"status": {"code": 503, "lasts": 0.3}}))
    faults = Faults(tmp_path, "web")
    time.sleep(0.35)  # counted from the first request on, and not from here
    assert faults.hit("status", "/") is not None
    time.sleep(0.35)
    assert faults.hit("status", "/") is None


def test_a_half_written_file_ends_the_faults_of_the_one_before_it(tmp_path: Path) -> None:
    file = tmp_path / "web-faults.json"
    file.write_text(json.dumps({"version": "0.9.9"}))
    faults = Faults(tmp_path, "web")
    assert faults.get("version") == "0.9.9"
    file.unlink()
    file.write_text('{"version": "0.')
    assert faults.get("version") is None
    file.write_text(json.dumps({"version": "0.9.8"}))
    assert faults.get("version") == "0.9.8"

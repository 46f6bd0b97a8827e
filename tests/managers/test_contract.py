"""What every service manager does, whoever runs the units: one contract, each kind tested on the real thing."""

from __future__ import annotations

import stat
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from pytest_runbook.errors import ManagerError

from tests.managers.bench import VARIABLES, Bench


def test_unit_that_was_not_started_is_stopped(bench: Bench) -> None:
    status = bench.manager.status("web")
    assert (status.state, status.pids) == ("stopped", ())


def test_started_unit_runs(bench: Bench) -> None:
    bench.manager.start("web", 20)
    status = bench.manager.status("web")
    assert status.state == "running"
    assert len(status.pids) == 1
    assert status.since is not None
    assert abs(datetime.now(UTC) - status.since) < timedelta(seconds=20)
    bench.manager.start("web", 20)
    assert bench.manager.status("web").pids == status.pids, "one that runs is left alone"


def test_stopped_unit_has_no_process_and_can_be_stopped_again(bench: Bench) -> None:
    bench.manager.start("web", 20)
    for _ in range(2):
        bench.manager.stop("web", 20)
        status = bench.manager.status("web")
        assert (status.state, status.pids) == ("stopped", ())


def test_discarded_unit_has_no_process_and_can_be_started_again(bench: Bench) -> None:
    bench.manager.start("web", 20)
    for _ in range(2):
        bench.manager.discard("web", 20)
        status = bench.manager.status("web")
        assert (status.state, status.pids) == ("stopped", ())
    bench.manager.start("web", 20)
    assert bench.manager.status("web").state == "running"


def test_restart_and_stop_touch_no_other_unit(bench: Bench) -> None:
    for unit in ("base", "web", "proxy"):
        bench.manager.start(unit, 20)
    before = {unit: bench.manager.status(unit).pids for unit in ("base", "web", "proxy")}
    bench.manager.restart("web", 20)
    after = {unit: bench.manager.status(unit).pids for unit in ("base", "web", "proxy")}
    assert len(after["web"]) == 1
    assert after["web"] != before["web"]
    assert (after["base"], after["proxy"]) == (before["base"], before["proxy"])
    bench.manager.stop("web", 20)
    assert bench.manager.status("base").pids == before["base"]
    assert bench.manager.status("proxy").pids == before["proxy"]


@pytest.mark.parametrize(("unit", "wrote"), [("broken", "no configuration"), ("flapping", "lost its database")])
def test_unit_that_dies_right_after_its_start_has_failed_with_its_last_words(
    bench: Bench, unit: str, wrote: str
) -> None:
    with pytest.raises(ManagerError) as caught:
        bench.manager.start(unit, 20)
    first, *more = str(caught.value).splitlines()
    assert first.startswith((f'"{unit}" did not start: failed (', f'"{unit}" did not stay up: failed ('))
    assert [line for line in more if line.startswith("  | ") and wrote in line]
    assert more[-1].startswith("  hint: ")
    if unit == "broken":
        eventually(lambda: bench.manager.status(unit).state == "failed")  # supervisord tries again before


def test_unit_that_ends_again_and_again_can_be_stopped(bench: Bench) -> None:
    with pytest.raises(ManagerError):
        bench.manager.start("flapping", 20)
    bench.manager.stop("flapping", 20)
    seen = bench.manager.status("flapping")
    time.sleep(0.5)  # longer than it takes to be started again
    assert bench.manager.status("flapping") == seen
    assert seen.state in ("stopped", "failed")
    assert "again" not in seen.detail


def test_restart_starts_what_did_not_run(bench: Bench) -> None:
    bench.manager.restart("web", 20)
    assert bench.manager.status("web").state == "running"


def test_frozen_process_is_restarted_and_may_end_in_good_order(bench: Bench) -> None:
    bench.manager.start("web", 20)
    before = bench.manager.status("web").pids
    bench.signal("web", "STOP")
    begun = time.monotonic()
    bench.manager.restart("web", 20)
    assert time.monotonic() - begun < 15
    status = bench.manager.status("web")
    assert status.state == "running"
    assert status.pids != before
    assert "good bye" in bench.manager.logs("web", 10)


def test_process_that_does_not_listen_is_killed_after_its_grace(bench: Bench) -> None:
    bench.manager.start("deaf", 20)
    begun = time.monotonic()
    bench.manager.stop("deaf", 20)
    assert 0.9 < time.monotonic() - begun < 15
    assert bench.manager.status("deaf").pids == ()


def test_killed_process_is_seen(bench: Bench) -> None:
    bench.manager.start("deaf", 20)
    before = bench.manager.status("deaf").pids
    bench.signal("deaf", "KILL")
    eventually(lambda: bench.manager.status("deaf").pids != before)


def test_unknown_unit_is_absent_and_known_ones_are_named(bench: Bench) -> None:
    assert bench.manager.status("wbe").state == "absent"
    for operation in (bench.manager.start, bench.manager.stop, bench.manager.restart):
        with pytest.raises(ManagerError) as caught:
            operation("wbe", 5)
        assert str(caught.value).startswith(f'unknown unit "wbe" of the manager "{bench.manager.name}" (known: web, ')


def test_logs_are_the_last_lines(bench: Bench) -> None:
    for _ in range(3):
        bench.manager.start("web", 20)
        bench.manager.stop("web", 20)
    lines = bench.manager.logs("web", 2).splitlines()
    every = bench.manager.logs("web", 100).splitlines()
    assert lines == every[-2:]
    assert any("version 1.4.2" in line for line in every)


def test_switched_version_runs_after_the_next_start_and_the_previous_one_is_on_record(bench: Bench) -> None:
    manager = bench.manager
    manager.start("web", 20)
    assert (manager.version("web"), manager.previous_version("web")) == ("1.4.2", None)
    manager.switch_version("web", "1.4.3")
    assert manager.version("web") == "1.4.2", "what runs is told, not what will"
    assert manager.next_version("web") == "1.4.3"
    manager.restart("web", 20)
    assert (manager.version("web"), manager.previous_version("web")) == ("1.4.3", "1.4.2")
    assert "version 1.4.3" in manager.logs("web", 5)
    manager.stop("web", 20)
    manager.switch_version("web", manager.previous_version("web") or "")
    manager.start("web", 20)
    assert (manager.version("web"), manager.previous_version("web")) == ("1.4.2", "1.4.3")


def test_place_of_a_version_is_its_variable_and_its_file(bench: Bench) -> None:
    place = bench.manager.version_place("web")
    assert place == f'VERSION in "{bench.env_file}"'
    assert bench.manager.version_place("base") == place, "they are switched together"
    with pytest.raises(ManagerError, match='unknown unit "wbe"'):
        bench.manager.version_place("wbe")
    bench.env_file.write_text("LEVEL=info\n")
    with pytest.raises(ManagerError, match="VERSION"):
        bench.manager.version_place("web")


def test_switch_changes_nothing_else_in_the_file(bench: Bench) -> None:
    bench.env_file.chmod(0o640)
    bench.manager.switch_version("web", "1.4.3")
    wanted = VARIABLES.replace("VERSION=1.4.2\n", "VERSION=1.4.3\nPREVIOUS_VERSION=1.4.2\n")
    assert bench.env_file.read_text() == wanted
    assert stat.S_IMODE(bench.env_file.stat().st_mode) == 0o640
    assert [path.name for path in bench.env_file.parent.iterdir() if path.name.endswith(".new")] == []


@pytest.mark.parametrize("version", ["", "1.4.3; reboot", "$(id)", "-1", "a\nDB_PASSWORD=x"])
def test_version_that_could_be_something_else_is_refused(bench: Bench, version: str) -> None:
    with pytest.raises(ManagerError, match="cannot be a version"):
        bench.manager.switch_version("web", version)
    assert bench.env_file.read_text() == VARIABLES


def test_file_without_a_version_is_left_alone(bench: Bench) -> None:
    bench.env_file.write_text("LEVEL=info\nVERSION_OLD=1\n")
    if "compose" in bench.manager.kind:
        bench.env_file.write_text("LEVEL=info\nVERSION=\n")
    before = bench.env_file.read_text()
    with pytest.raises(ManagerError, match=r'(does not say "VERSION"|VERSION)'):
        bench.manager.switch_version("web", "1.4.3")
    assert bench.env_file.read_text() == before


def eventually(true: Callable[[], bool], deadline: float = 15) -> None:
    """Wait until TRUE is."""
    end = time.monotonic() + deadline
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)

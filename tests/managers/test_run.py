"""A manager's command on this machine ends in time, with all that it started, and says no more than can be kept."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import psutil
import pytest
from pytest_runbook.runbooks.commands import ANSWERED

from tests.managers.here import local


def test_output_errors_and_status_are_kept_apart() -> None:
    done = local(["sh", "-c", "echo out; echo err >&2; exit 3"], 10)
    assert (done.status, done.output, done.errors, done.timed_out) == (3, "out\n", "err\n", False)
    assert done.said == "err"


def test_no_shell_reads_the_arguments(tmp_path: Path) -> None:
    assert local(["echo", f"$(touch {tmp_path}/made); *"], 10).output == f"$(touch {tmp_path}/made); *\n"
    assert not list(tmp_path.iterdir())


def test_program_that_does_not_exist_is_named() -> None:
    done = local(["no-such-program-anywhere"], 10)
    assert (done.status, done.said) == (
        127,
        'there is no program "no-such-program-anywhere"\n  hint: install it, or correct its name or PATH',
    )


def test_input_is_given_whole_also_when_it_is_long() -> None:
    text = "secret line\n" * 100_000
    assert local(["wc", "-c"], 10, text).output.strip() == str(len(text))


def test_program_that_does_not_read_its_input_is_no_trouble() -> None:
    assert local(["true"], 10, "x" * 1_000_000).status == 0


def test_without_input_a_program_reads_its_end() -> None:
    assert local(["cat"], 10).output == ""


def test_environment_is_added_to_what_finds_things_and_nothing_else_is_passed_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "1")
    monkeypatch.setenv("SECRET_KEY", "3")
    assert local(["sh", "-c", "echo $DOCKER_HOST $MORE $SECRET_KEY"], 10, None, {"MORE": "2"}).output == "1 2\n"


def test_beginning_and_end_of_too_much_output_are_kept() -> None:
    done = local(["sh", "-c", f"echo begin; head -c {3 * ANSWERED} /dev/zero; echo the end"], 20)
    assert done.truncated
    assert ANSWERED < len(done.output) < ANSWERED + 100
    assert done.output.startswith("begin\n")
    assert done.output.endswith("the end\n")


def test_output_that_is_whole_says_so() -> None:
    assert not local(["sh", "-c", f"head -c {ANSWERED} /dev/zero"], 20).truncated


def test_death_by_a_signal_is_told_as_a_shell_does() -> None:
    assert local(["sh", "-c", "kill -9 $$"], 10).status == 137


def test_deadline_ends_the_whole_family(tmp_path: Path) -> None:
    """Also a grandchild in a session of its own, and one that refuses to end."""
    pids = tmp_path / "pids"
    script = f"trap '' TERM; echo $$ >>{pids}; setsid sh -c 'echo $$ >>{pids}; sleep 100' & sleep 100 & echo half; wait"
    begun = time.monotonic()
    done = local(["sh", "-c", script], 1)
    assert time.monotonic() - begun < 8
    assert (done.timed_out, done.output) == (True, "half\n")
    found = [int(line) for line in pids.read_text().split()]
    assert len(found) == 2
    assert not [pid for pid in found if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]


def test_what_is_started_to_stay_keeps_nobody_waiting() -> None:
    begun = time.monotonic()
    done = local(["sh", "-c", "sleep 60 & echo $!"], 20)
    assert time.monotonic() - begun < 10
    psutil.Process(int(done.output)).kill()


def test_slow_output_is_not_lost() -> None:
    code = "import sys,time\nfor n in range(5):\n print(n, flush=True); time.sleep(.3)"
    assert local([sys.executable, "-c", code], 20).output == "0\n1\n2\n3\n4\n"

"""A step in a process of its own: what it answers, and that nothing of it is left when it is stopped."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from pytest_runbook import clock
from pytest_runbook.evidence.redaction import Redactor
from pytest_runbook.model import StepOutcome
from pytest_runbook.runbooks.process import perform

from tests.probes.databases import until
from tests.runbooks.performing import Book, running

STUBBORN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
if os.fork(): os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
if len(sys.argv) > 2:
    os.execve(sys.executable, [sys.executable, "-c", "import time; time.sleep(1000)", sys.argv[1]], {})
time.sleep(1000)
"""
"""A daemon by the book, which ignores every wish that it end; with a second argument it also gives up its environment."""


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(tmp_path)


@pytest.fixture
def token() -> Iterator[str]:
    """A word that only the processes of this test have in their command line; in the end nothing has it."""
    word = f"token-{secrets.token_hex(8)}"
    yield word
    for one in running(word):
        one.kill()


def tree(token: str) -> str:
    """Text of a runbook whose step `step` starts daemons and then sleeps."""
    daemon = ["-c", STUBBORN, token]
    return f'''
import signal, subprocess, sys, time

def spread(tools):
    """Start many."""
    for arguments in ({daemon!r}, {[*daemon, "bare"]!r}):
        subprocess.run([sys.executable, *arguments])
    subprocess.Popen(["nohup", "setsid", "sh", "-c", "sleep 1000; : {token}"])
    print("spread", flush=True)
    tools.run("sh", "-c", 'trap "" TERM; sleep 1000 & sleep 1000; : {token}')

@correct(timeout=9)
def step(at):
    """Start a tree."""
    return call(spread)
'''


def test_a_step_answers_what_it_did(book: Book) -> None:
    done = book.command("echo", "it is", "done")
    assert (done.outcome, done.output, done.why, done.value) == (StepOutcome.DONE, "it is done\n", "", None)
    assert 0 < done.duration < 20


def test_actions_are_performed_in_order_and_the_first_that_fails_ends_it(book: Book) -> None:
    book.write('''
@correct()
def step(at):
    """Three things."""
    return [command("echo", "one", at.service), command("sh", "-c", "echo why >&2; exit 7"), command("echo", "three")]
''')
    done = book.perform()
    assert done.outcome == StepOutcome.FAILED
    assert done.why == "\"sh -c 'echo why >&2; exit 7'\" ended with status 7: why"
    assert done.output == "$ echo one web\none web\n$ sh -c 'echo why >&2; exit 7'\nwhy\n"


def test_a_condition_is_answered_by_the_exit_status_of_a_program(book: Book) -> None:
    for argv, value in ((("true",), True), (("sh", "-c", "exit 3"), False)):
        book.write(f'''
@correct(only_if=lambda at: command(*{argv!r}))
def step(at):
    """Never done."""
    return command("false")
''')
        seen = book.perform("step", "only_if")
        assert (seen.outcome, seen.value, seen.why) == (StepOutcome.DONE, value, "")


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        (("no-such-program",), 'there is no program "no-such-program"'),
        (("sh", "-c", "no-such-program"), "ended with status 127"),
        (("sh", "-c", "kill -9 $$"), "was killed by signal 9"),
        (("/etc",), '"/etc" cannot be started: permission denied'),
    ],
)
def test_a_condition_that_cannot_be_seen_is_no_answer(book: Book, argv: tuple[str, ...], why: str) -> None:
    book.write(f'''
@correct(only_if=lambda at: command(*{argv!r}))
def step(at):
    """Never done."""
    return command("false")
''')
    seen = book.perform("step", "only_if")
    assert (seen.outcome, seen.value) == (StepOutcome.FAILED, None)
    assert why in seen.why


@pytest.mark.parametrize(
    ("answer", "value"), [("True", True), ("0", False), ("''", False), ("'x'", True), ("None", False)]
)
def test_a_condition_that_is_a_function_is_answered_by_its_truth(book: Book, answer: str, value: bool) -> None:
    book.write(f'''
def ask(tools):
    """Ask."""
    return {answer}

@correct(only_if=lambda at: call(ask))
def step(at):
    """Never done."""
    return command("false")
''')
    assert book.perform("step", "only_if").value is value


def test_a_step_is_taken_back(book: Book) -> None:
    book.write('''
@correct(undo=lambda at: command("echo", "taken back"))
def step(at):
    """Do it."""
    return command("false")
''')
    assert book.perform("step", "undo").output == "taken back\n"


def test_what_was_not_shown_is_not_done(book: Book, tmp_path: Path) -> None:
    book.write(
        f'@correct()\ndef step(at):\n    """Do it."""\n    return command("touch", {str(tmp_path / "done")!r})\n'
    )
    done = book.perform(expected=("touch /elsewhere",))
    assert done.outcome == StepOutcome.FAILED
    assert 'the step "step" would do something else than was shown' in done.why
    assert "shown: touch /elsewhere" in done.why
    assert f"now: touch {tmp_path / 'done'}" in done.why
    assert not (tmp_path / "done").exists()


def test_a_runbook_that_changed_on_the_way_is_told(book: Book) -> None:
    book.command("true")
    order = book.order("step")
    (book.folder / "mend.py").write_text("1 / 0")
    assert "ZeroDivisionError" in book.send(order).why
    (book.folder / "mend.py").unlink()
    assert 'unknown runbook "mend"' in book.send(order).why


def test_a_fault_of_the_runbook_shows_its_own_lines_only(book: Book) -> None:
    book.secrets = ["the-key-itself"]
    book.write('''
def inner(path):
    raise RuntimeError(f"no the-key-itself at {path}")

def outer(tools, path):
    """Fail."""
    inner(path)

@correct()
def step(at):
    """Do it."""
    return call(outer, path="/x")
''')
    done = book.perform()
    assert done.why == "RuntimeError: no **** at /x (mend.py:7)"
    assert done.output.count("  File ") == 2
    assert "in outer" in done.output
    assert "worker.py" not in done.output
    assert "the-key-itself" not in done.output


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("raise StepFailed('the disk is gone')", "the disk is gone"),
        ("raise SystemExit(3)", 'it called exit with "3"'),
        ("import os; os._exit(9)", "its process ended with status 9 in the middle of it"),
        ("import os; os.kill(os.getpid(), 9)", "its process was killed by SIGKILL"),
        ("import os; os.kill(os.getppid(), 9)", "its process was killed from outside before it could say"),
        ("raise KeyboardInterrupt", "its process ended with status 130"),
    ],
)
def test_however_a_function_ends_it_is_told(book: Book, body: str, why: str, token: str) -> None:
    book.write(f'''
import subprocess, time

def fail(tools):
    """Fail."""
    {body}
    time.sleep(1000)

@correct()
def step(at):
    """Do it."""
    return call(fail)
''')
    done = book.perform()
    assert done.outcome == StepOutcome.FAILED
    assert why in done.why


def test_when_it_is_late_nothing_of_it_is_left(book: Book, token: str) -> None:
    book.write(tree(token))
    begun = time.monotonic()
    done = book.perform(timeout=4)
    assert time.monotonic() - begun < 12
    assert done.outcome == StepOutcome.TIMED_OUT
    assert done.why == "it was killed after 4.0 s, with all that it had started"
    assert done.output.startswith("spread\n")
    assert not running(token)


def test_when_the_run_is_killed_nothing_of_its_step_is_left(book: Book, token: str, tmp_path: Path) -> None:
    book.write(tree(token))
    source = (
        "from pathlib import Path; from tests.runbooks.performing import Book; import sys;"
        "Book(Path(sys.argv[1])).perform(timeout=1000)"
    )
    path = os.pathsep.join(sys.path)
    run = subprocess.Popen([sys.executable, "-c", source, str(tmp_path)], env={**os.environ, "PYTHONPATH": path})
    try:
        until(lambda: len(running(token)) >= 4)
        run.send_signal(signal.SIGKILL)
        run.wait(10)
        until(lambda: not running(token), 10)
        until(lambda: not running(str(tmp_path)), 10)
    finally:
        run.kill()
        run.wait(10)


def test_an_interrupt_ends_the_step_and_goes_on(book: Book, token: str) -> None:
    book.write(tree(token))

    def interrupt() -> None:
        until(lambda: len(running(token)) >= 4)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started us may ignore it
    try:
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            book.perform(timeout=60)
        thread.join()
    finally:
        signal.signal(signal.SIGINT, before)
    assert not running(token)


def test_a_guardian_that_is_killed_takes_the_step_with_it(book: Book, token: str) -> None:
    book.write(tree(token))

    def kill(pid: int) -> None:
        def strike() -> None:
            until(lambda: len(running(token)) >= 4)
            os.kill(pid, signal.SIGKILL)

        threading.Thread(target=strike).start()

    done = book.perform(timeout=60, on_start=kill)
    assert done.outcome == StepOutcome.FAILED
    assert "killed from outside" in done.why
    # What gave up its environment as well cannot be told from others any more.
    assert [one for one in running(token) if "bare" not in one.cmdline() and one.environ()] == []
    for one in running(token):
        one.kill()


def test_what_was_started_to_stay_stays_and_is_not_waited_for(book: Book, token: str) -> None:
    begun = time.monotonic()
    done = book.command("sh", "-c", f"(setsid sh -c 'sleep 1000; : {token}' &); echo started")
    try:
        assert (done.outcome, done.output) == (StepOutcome.DONE, "started\n")
        assert time.monotonic() - begun < 10
        assert running(token)
    finally:
        for one in running(token):
            for child in one.children():
                child.kill()
            one.kill()


def test_a_start_that_is_refused_does_nothing(book: Book, tmp_path: Path) -> None:
    class NotNowError(Exception):
        pass

    def refuse(pid: int) -> None:
        assert psutil.pid_exists(pid)
        raise NotNowError

    book.write(
        f'@correct()\ndef step(at):\n    """Do it."""\n    return command("touch", {str(tmp_path / "done")!r})\n'
    )
    with pytest.raises(NotNowError):
        book.perform(on_start=refuse)
    assert not (tmp_path / "done").exists()


def test_a_root_that_is_gone_is_told(book: Book, tmp_path: Path) -> None:
    book.command("true")
    order = book.order("step")
    done = book.send(replace(order, root=tmp_path / "gone"))
    assert done.why == f'its process cannot be started in "{tmp_path / "gone"}": no such file or directory'


def test_nothing_is_written_beside_the_runbook(book: Book) -> None:
    book.command("true")
    assert [path.name for path in book.folder.iterdir()] == ["mend.py"]


def test_a_step_is_ended_when_the_machine_was_suspended(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other machines may act by then; the clock for durations stood still."""
    book.write('@correct()\ndef step(at):\n    """Do it."""\n    return command("sleep", "60")\n')
    boottime = clock.boottime

    def suspended(_: int) -> None:
        monkeypatch.setattr(clock, "boottime", lambda: boottime() + 3600)

    order, nothing = book.order("step"), Redactor(())
    done = perform(order, timeout=50, redactor=nothing, silence=2.0, on_start=suspended)
    assert done.outcome == StepOutcome.FAILED
    assert done.why == "it was ended: the run itself was stopped for 2.0 s, and another may act by now"


def test_no_secret_is_in_arguments_or_environment(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_PASSWORD", "the-key-itself")
    book.settings('[probes.database]\nkind = "postgresql"\nhost = "localhost"\npassword = "the-key-itself"\n')
    book.write('''
import os, psutil, subprocess

def look(tools):
    """Look."""
    me = psutil.Process()
    everyone = [me, me.parent(), psutil.Process(subprocess.Popen(["sleep", "5"]).pid)]
    seen = [str(one.cmdline()) + str(one.environ()) for one in everyone]
    print(len(seen), any("the-key-itself" in text for text in seen), "the-key-itself" in tools.run("env"))
    print(tools.settings.probes["database"].password.get_secret_value() == "the-key-" + "itself")

@correct()
def step(at):
    """Do it."""
    return call(look)
''')
    done = book.perform()
    assert "3 False False\n" in done.output
    assert done.output.endswith("True\n")


def test_a_program_that_a_step_ends_takes_nothing_else_with_it(book: Book) -> None:
    """As the runbook that makes a backup: pg_dump is late, and the step says so."""
    book.write(
        '''
import os
from pytest_runbook.backup import running
from pytest_runbook.errors import BackupError

def late(tools):
    """Run a program that takes too long."""
    try:
        running.run(["sleep", "60"], dict(os.environ), 0.5, mark="backup:")
    except BackupError as error:
        raise StepFailed(str(error)) from None

@correct(risk="routine", settle=0, within=1)
def step(at):
    """Back up."""
    return call(late)
'''
    )
    done = book.perform()
    assert (done.outcome, done.why) == (StepOutcome.FAILED, '"sleep" did not end within 500 ms, and was ended')

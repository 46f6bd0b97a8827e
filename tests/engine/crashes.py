"""A system that is ill in several ways, runs of it that are killed, and what must hold after each kill."""

from __future__ import annotations

import random
import secrets
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from pytest_runbook.errors import RunbookError
from pytest_runbook.evidence import journal
from pytest_runbook.history.rows import StepRow
from pytest_runbook.history.store import Store
from pytest_runbook.runbooks.family import GRACE, LAST

from tests.engine.ailing import Ailing
from tests.engine.conftest import Finished, Project

SERVICES = ("database", "web", "host")
HOPELESS = "host"
"""Its runbook does not help, and takes back what it did."""
UNLIMITED = {"attempts": 10_000, "fixes": 10_000, "breaker": 10_000}
WORK = '''
def work(tools, *, part, text=None):
    """Work for a moment, with a program in a session of its own beside it; then write the state."""
    import secrets, subprocess, time
    at = tools.situation
    intent = f"{at.run} {at.runbook} {part} {secrets.token_hex(4)}"
    note(f"begin {intent}")
    program = subprocess.Popen(["setsid", "sleep", "300"])
    time.sleep(0.1)
    program.kill()
    program.wait()
    if text:
        Path("state", at.service).write_text(text)
    note(f"end {intent}")
'''
RUNBOOKS = {
    "database": '''
@diagnose
def look(at):
    """Look at it."""
    return call(work, part="do look")

@correct(within=0, undo=lambda at: call(work, part="undo turn"))
def turn(at):
    """Turn it, which is half of the way."""
    return call(work, part="do turn", text="turned")

@correct(within=0, settle=0.1, only_if=lambda at: call(says, service=at.service, text="turned"))
def mend(at):
    """Write that it is up."""
    return script("mend.sh", "slowly")
''',
    "web": '''
@correct(within=0, settle=0.2)
def mend(at):
    """Write that it is up."""
    return call(work, part="do mend", text="up")
''',
    "host": '''
@correct(within=0, undo=lambda at: call(work, part="undo change", text="down"))
def change(at):
    """Change it, which does not help."""
    return call(work, part="do change", text="changed")
''',
}
SCRIPT = """#!/bin/sh
intent="$RUNBOOK_RUN $RUNBOOK_ID do $RUNBOOK_STEP $$"
echo "begin $intent" >> state/log
setsid sleep 300 &
sleep 0.1
kill $!
printf up > "state/$RUNBOOK_SERVICE"
echo "end $intent" >> state/log
"""
PLUGINS = ("-p", "runbook", "-p", "no:cacheprovider")
COMMAND = (sys.executable, "-m", "pytest", *PLUGINS, "-m", "daily", "--remediate=apply")


class Crashing(Ailing):
    """Three services; runs of their checks that are killed in the middle of mending."""

    def __init__(self, project: Project, **settings: object) -> None:
        super().__init__(project)
        self.check("host/availability.py", "answers", "host", "host-down")
        for service, steps in RUNBOOKS.items():
            self.runbook(f"{service}-down", WORK + steps)
            self.set(service, "up")
        script = project.write("remediation/mend.sh", SCRIPT)
        script.chmod(0o755)
        self.settings(**{**UNLIMITED, **settings})
        shop = project.folder / "shop.toml"
        shop.write_text(f"{shop.read_text()}\n[report]\nformats = []\n")

    @property
    def store(self) -> Store:
        """Their history."""
        return Store.open("sqlite:///var/history.db", "Shop", "production", root=self.project.folder)

    @property
    def steps(self) -> list[StepRow]:
        """Every intent of every run."""
        return [step for attempt in self.store.rows(limit=1_000_000) for step in attempt.steps]

    def start(self, *arguments: str) -> Run:
        """Begin a run."""
        name = secrets.token_hex(4)
        said = self.project.folder / f"{name}.txt"
        with said.open("w") as output:
            process = subprocess.Popen(
                # Whatever ignored Ctrl-C when these tests were started, this one does not.
                ["env", "--default-signal=INT,TERM,HUP", *COMMAND, f"--report=var/runs/{name}", *arguments],
                cwd=self.project.folder,
                env=self.project.environment({"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        return Run(self, process, self.project.folder / "var" / "runs" / name, said)

    def finish(self) -> Finished:
        """A whole run."""
        return self.ended(self.start())

    def ended(self, run: Run) -> Finished:
        """RUN, when it has ended by itself."""
        code = run.process.wait(120)
        return Finished(code, run.output.read_text(), run.folder)

    def history(self) -> str:
        """What `runbook history` says."""
        done = subprocess.run(
            [sys.executable, "-c", "from pytest_runbook.cli import main; main()", "history"],
            cwd=self.project.folder,
            env=self.project.environment(),
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    def settled(self) -> float:
        """Wait until nothing that a run started is left; seconds that took."""
        begun = time.monotonic()
        while left := self.processes():
            assert time.monotonic() - begun < GRACE + LAST, f"still there: {left}"
            time.sleep(0.02)
        return time.monotonic() - begun

    def processes(self) -> list[psutil.Process]:
        """What works in the folder of the project, runs and whatever their steps started."""
        return [one for one in psutil.process_iter() if self._here(one)]

    def _here(self, process: psutil.Process) -> bool:
        try:
            return process.cwd() == str(self.project.folder) and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False


@dataclass
class Run:
    """A run that goes on."""

    system: Crashing
    process: subprocess.Popen[bytes]
    folder: Path
    output: Path
    """What it says."""

    @property
    def journal(self) -> str:
        """Its journal until now."""
        try:
            return (self.folder / journal.NAME).read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def reaches(self, condition: Callable[[], bool]) -> bool:
        """Wait for CONDITION; False when the run ended before it came true."""
        while not condition():
            if self.process.poll() is not None:
                return False
            time.sleep(0.01)
        return True

    def signal(self, number: signal.Signals) -> None:
        """Send the run, and nothing that it started, a signal."""
        self.process.send_signal(number)

    def kill(self) -> bool:
        """Kill -9; False when it had ended by itself."""
        self.process.kill()
        return self.process.wait(60) == -signal.SIGKILL


@dataclass(frozen=True)
class Point:
    """Where a run is killed: DELAY seconds after what it waits for came for the COUNT-th time."""

    after: str
    count: int
    delay: float

    def reached(self, run: Run) -> bool:
        """Wait for it; False when the run ended before."""
        log = Counter(line.split()[0] for line in run.system.log)
        waits: dict[str, Callable[[], bool]] = {
            "start": lambda: True,
            "journal": lambda: bool(run.journal),
            "intent": lambda: run.journal.count('"type": "intent"') >= self.count,
            "step": lambda: Counter(line.split()[0] for line in run.system.log)["begin"] >= log["begin"] + self.count,
            "work": lambda: Counter(line.split()[0] for line in run.system.log)["end"] >= log["end"] + self.count,
            "result": lambda: run.journal.count('"type": "step"') >= self.count,
            "verification": lambda: run.journal.count('"type": "verification"') >= self.count,
        }
        return run.reaches(waits[self.after]) and not _slept(run, self.delay)


def _slept(run: Run, seconds: float) -> bool:
    """Sleep, and say whether the run ended meanwhile: then at once."""
    with suppress(subprocess.TimeoutExpired):
        run.process.wait(seconds)
    return run.process.poll() is not None


def anywhere(chance: random.Random, length: float) -> Point:
    """A random point of a run that takes LENGTH seconds."""
    exactly = {"intent": 0.03, "step": 0.15, "work": 0.3, "result": 0.05, "verification": 0.05}
    after = chance.choice(["start", "journal", "journal", "journal", *exactly])
    delay = chance.uniform(0, exactly.get(after, length if after == "start" else 0.7 * length))
    return Point(after, chance.randint(1, 3), delay)


# -- what must hold ---------------------------------------------------------------------------------------------------


def readable(system: Crashing, run: Run) -> None:
    """The journal of a killed RUN and the history can be read."""
    if "\n" in run.journal:
        told = journal.read(run.folder / journal.NAME)
        assert (told.finished is None) == ('"type": "run-finished"' not in run.journal)
    elif (run.folder / journal.NAME).exists():
        try:
            journal.read(run.folder / journal.NAME)
        except RunbookError as error:
            assert 'it has no record "run-started"' in str(error)
    history = system.project.folder / "var" / "history.db"
    if history.exists():
        connection = sqlite3.connect(history)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()


def executed_once(system: Crashing) -> None:
    """Every step that ran had an intent that was started, and no intent was executed twice."""
    said = [line.split() for line in system.log]
    begun, ended = (
        Counter((run, runbook, f"{part} {step}") for what, run, runbook, part, step, _ in said if what == word)
        for word in ("begin", "end")
    )
    assert all(count == 1 for count in begun.values()), begun
    intents = Counter((step.run, step.runbook, step.step) for step in system.steps)
    assert all(count == 1 for count in intents.values()), intents
    for step in system.steps:
        key = step.run, step.runbook, step.step
        assert step.started or not begun[key], f"it ran and was never started: {step}"
        if step.outcome == "done":
            assert ended[key], f"it is done and did not end: {step}"
    assert set(begun) <= set(intents)


def open_steps(system: Crashing) -> list[StepRow]:
    """Steps that began and have no result."""
    return [step for step in system.steps if step.started and step.outcome is None]


def told(done: Finished, unknown: Sequence[StepRow]) -> None:
    """DONE says of these steps, and of no others, that nobody knows what became of them."""
    problems = done.record.problems
    expected = [
        f'the run {step.run} was killed while "{step.step}" of {step.runbook} ran on {step.service}:'
        " nobody knows whether it took effect"
        for step in unknown
    ]
    assert sorted(problems) == sorted(expected), done.output


def mended(system: Crashing, done: Finished) -> None:
    """The system is well, or DONE says why not."""
    assert done.code in (0, 1), done.output
    assert "is locked by" not in done.output
    for service in SERVICES:
        result = done.results[f"{service}/availability::answers"]
        if service == HOPELESS and system.state(service) != "up":
            assert (result.outcome, system.state(service)) == ("still-failing", "down"), result
            assert result.remediation.startswith("still-failing: ")
        else:
            assert system.state(service) == "up"
            assert result.outcome in ("passed", "remediated"), result
    store = system.store
    for service in SERVICES:  # given at once, or Held is raised
        with store.lock(service, done.record.id, 60):
            pass
    assert all(step.ended for step in system.steps)
    assert all(attempt.ended for attempt in store.rows(limit=1_000_000))

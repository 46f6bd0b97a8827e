"""Every runbook of this repository: it loads, people can read it, and its steps are what they say they are."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from pytest_runbook.model import Risk
from pytest_runbook.runbooks import loading
from pytest_runbook.runbooks.actions import Action, Command, Manage, Script, Sql
from pytest_runbook.runbooks.steps import Situation, Stage, StepSpec
from pytest_runbook.runbooks.tools import SPARE
from pytest_runbook.settings import Settings

from tests.remediation.acting import FOLDER, ROOT, settings, situation

NAMES = sorted(loading.texts(FOLDER))
SCRIPTS = sorted(path for path in FOLDER.iterdir() if path.is_file() and os.access(path, os.X_OK))
SECTIONS = ("Symptom", "Diagnosis", "Correction", "Last resort", "Verify")
FORBIDDEN = re.compile(
    r"flush(db|all)|\bpkill\b|\bkillall\b|system prune|\brm -[a-z]*r|\bkeys\(|compose[\"', ]+down|iptables|pg_wal\b",
    re.I,
)
FOR_PEOPLE = (
    "secrets-weak",
    "secrets-exposed",
    "image-missing",
    "database-schema",
    "ports-exposed",
    "security-updates",
)


@pytest.fixture(scope="module")
def told() -> Settings:
    return settings()


def steps(name: str) -> list[StepSpec]:
    return list(loading.load(FOLDER, name).steps)


def actions(step: StepSpec, at: Situation) -> list[Action]:
    """Everything that STEP may do, its condition and its undoing included."""
    return [*([step.only_if(at)] if step.only_if else []), *step.actions(at), *step.undoing(at)]


def named_by_checks() -> Iterator[tuple[str, str]]:
    """File and runbook of each check."""
    for path in sorted((ROOT / "checks").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "runbook" and isinstance(node.value, ast.Constant):
                yield str(path.relative_to(ROOT)), str(node.value.value)


def test_every_runbook_that_a_check_names_is_there_and_every_one_is_named() -> None:
    named = list(named_by_checks())
    assert len(named) > 60
    assert [(file, name) for file, name in named if name not in NAMES] == []
    assert set(NAMES) - {name for _, name in named} == set()


@pytest.mark.parametrize("name", NAMES)
def test_people_find_what_they_need(name: str) -> None:
    text = loading.load(FOLDER, name).text
    first, _, rest = text.partition("\n")
    assert re.fullmatch(r"[A-Z].*: .*\.", first)
    assert tuple(re.findall(rf"^({'|'.join(SECTIONS)})\b", rest, re.MULTILINE)) == SECTIONS


@pytest.mark.parametrize("name", NAMES)
def test_people_and_machine_do_the_same(name: str) -> None:
    """Each step stands in the text for people, where it belongs: `(step restart)`, `(steps status, log)`."""
    text = loading.load(FOLDER, name).text
    parts = dict(zip(SECTIONS, re.split(rf"^(?:{'|'.join(SECTIONS)}).*$", text, flags=re.MULTILINE)[1:], strict=True))
    where = {Stage.DIAGNOSE: "Diagnosis", Stage.CORRECT: "Correction", Stage.LAST_RESORT: "Last resort"}
    told = {
        section: re.findall(r"\w+", ",".join(re.findall(r"\(steps?\s+([\w,\s]+)\)", part)))
        for section, part in parts.items()
    }
    for stage, section in where.items():
        assert sorted(told[section]) == sorted(step.name for step in steps(name) if step.stage == stage), section


@pytest.mark.parametrize("name", NAMES)
def test_steps_say_what_they_do(name: str, told: Settings) -> None:
    at = situation(name, told)
    for step in steps(name):
        assert re.fullmatch(r"[A-Z].*[^.]", step.title)
        lines = [action.describe() for action in actions(step, at)]
        assert lines
        assert all(line and "\n" not in line and len(line) < 1000 for line in lines)
        if step.stage == Stage.DIAGNOSE:
            assert step.risk == Risk.OBSERVE
            assert step.title.startswith("Look")
        else:
            assert step.risk.level > Risk.OBSERVE.level


@pytest.mark.parametrize("name", NAMES)
def test_steps_act_on_what_the_settings_know(name: str, told: Settings) -> None:
    for step in steps(name):
        for action in actions(step, situation(name, told)):
            match action:
                case Command(on=probe) | Script(on=probe) if probe:
                    assert told.probes[probe].kind == "host"
                case Sql(probe=probe):
                    assert told.probes[probe].kind == "postgresql"
                case Manage(service=service):
                    assert service in told.services, "a step names the service: nobody has to know whose check failed"
            if isinstance(action, Script):
                assert FOLDER / action.file in SCRIPTS


@pytest.mark.parametrize("name", NAMES)
def test_what_is_stopped_is_started_again(name: str, told: Settings) -> None:
    for step in steps(name):
        asked = [
            a for a in step.actions(situation(name, told)) if isinstance(a, Manage) and a.operation in ("stop", "start")
        ]
        for action, after in pairwise([*asked, None]):
            if action and action.operation == "stop":
                assert after == Manage("start", action.service)


def test_what_restarts_or_destroys_says_so(told: Settings) -> None:
    for name in NAMES:
        for step in steps(name):
            asked = {a.operation for a in step.actions(situation(name, told)) if isinstance(a, Manage)}
            if asked & {"start", "stop", "restart"}:
                assert step.risk.level >= Risk.RESTART.level, f"{name}: {step.name}"
    drops = next(step for step in steps("replication-slot") if step.name == "drop_slots")
    assert (drops.stage, drops.risk) == (Stage.LAST_RESORT, Risk.DESTRUCTIVE)


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("clock-skew", "step_clock"),  # everything on the machine sees time jump
        ("database-slow", "restart"),  # everybody's connections, for a figure
        ("ml-models-invalid", "go_back"),  # another release goes live
        ("cache-memory", "drop_cached"),
    ],
)
def test_what_costs_more_than_one_service_is_never_done_unasked_in_production(name: str, step: str) -> None:
    assert {found.name: found.risk for found in steps(name)}[step] == Risk.DESTRUCTIVE


def test_a_worker_may_end_the_job_that_it_has_begun(told: Settings) -> None:
    manager = told.managers[str(told.services["worker"].manager)]
    assert told.probes["ml"].timeout < manager.grace


@pytest.mark.parametrize("service", ["database", "cache"])
def test_what_holds_data_may_write_it_before_it_ends(told: Settings, service: str) -> None:
    assert told.managers[str(told.services[service].manager)].grace >= 120


@pytest.mark.parametrize("name", NAMES)
def test_a_step_lasts_as_long_as_the_service_that_it_stops_may_take(name: str, told: Settings) -> None:
    for step in steps(name):
        for action in step.actions(situation(name, told)):
            if isinstance(action, Manage) and action.operation in ("stop", "restart"):
                manager = told.services[str(action.service)].manager
                grace = told.managers[manager].grace if manager else 0
                assert step.timeout - SPARE >= 2 * grace, f"half of it is for the stop: {step.name}"


def test_a_worker_is_called_idle_after_more_than_a_job(told: Settings) -> None:
    restart = next(step for step in steps("queue-too-long") if step.name == "restart_worker")
    assert told.probes["ml"].timeout < told.limits.queue.job < restart.timeout


def test_limits_may_be_given_with_a_fraction() -> None:
    limits = ("files__cache_age", "logs__age_when_full", "logs__system_age", "logs__size", "logs__age")
    told = settings(**{f"limits__{name}": 604800.0 for name in limits})
    for name in ("disk-full", "inodes", "logs-rotate", "logs-old"):
        for step in steps(name):
            for action in actions(step, situation(name, told)):
                assert "604800.0" not in action.describe()


@pytest.mark.parametrize("name", FOR_PEOPLE)
def test_what_needs_judgement_is_left_to_people(name: str) -> None:
    assert steps(name) == []


class Watch:
    """Notes what a step function does besides saying what to do, once told to."""

    EVENTS = ("open", "socket.", "subprocess.", "os.system", "os.posix_spawn", "os.exec", "os.listdir", "time.sleep")

    def __init__(self) -> None:
        self.on, self.seen = False, list[str]()
        sys.addaudithook(self._note)  # no hook can be removed: it is off but for this test

    def _note(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.on and event.startswith(self.EVENTS):
            self.seen.append(f"{event} {arguments!r:.80}")


def test_steps_only_say_what_to_do(told: Settings) -> None:
    watch, described = Watch(), list[list[str]]()
    for _ in range(2):
        for name in NAMES:
            found, at = steps(name), situation(name, told)
            watch.on = True
            described.append([action.describe() for step in found for action in actions(step, at)])
            watch.on = False
    assert watch.seen == []
    assert described[: len(NAMES)] == described[len(NAMES) :]


@pytest.mark.parametrize("path", [*(FOLDER / f"{name}.py" for name in NAMES), *SCRIPTS], ids=lambda path: path.name)
def test_nothing_does_what_hurts_others(path: Path) -> None:
    """What the text for people warns of may stand there, and in comments; nothing else may hold it."""
    source = path.read_text(encoding="utf-8")
    if source.startswith("#!") and "python" not in source.partition("\n")[0]:
        code = re.sub(r"(?m)^\s*#.*$", "", source)
    else:
        tree = ast.parse(source)
        tree.body = tree.body[1:]
        code = ast.unparse(tree)
    assert not FORBIDDEN.search(code)


@pytest.mark.parametrize("path", [path for path in SCRIPTS if path.suffix == ".sh"], ids=lambda path: path.name)
def test_shell_scripts_are_sound(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("#!/usr/bin/env bash\n")
    assert "\nset -euo pipefail\n" in text
    checked = subprocess.run(
        [Path(sys.executable).with_name("shellcheck"), "--severity=style", path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (checked.returncode, checked.stdout) == (0, "")


def test_there_are_scripts_to_look_at() -> None:
    assert len(SCRIPTS) >= 4

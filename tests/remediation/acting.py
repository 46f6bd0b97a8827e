"""Runbooks of this repository, done step by step on servers of a test: what a run does, without the run around it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_runbook.runbooks import loading, worker
from pytest_runbook.runbooks.order import Errand, Order
from pytest_runbook.runbooks.steps import Situation, StepSpec
from pytest_runbook.settings import Settings, load

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "remediation"


def settings(**overrides: object) -> Settings:
    """The settings of this repository with OVERRIDES, `probes__cache__uri="redis://…"`; nothing of this machine's own."""
    changes = [f"{key.replace('__', '.')}={value}" for key, value in overrides.items()]
    given = ["system.env_file=/nowhere/.env", *changes]
    return load(ROOT, file=ROOT / "nightscan.toml", environ={}, overrides=given).settings


def situation(runbook: str, told: Settings, checks: Sequence[str] = (), service: str = "web") -> Situation:
    """What RUNBOOK's steps are told when CHECKS failed."""
    return Situation(runbook, service, "production", tuple(checks), "run-of-the-test", told)


@dataclass
class Acting:
    """One runbook in one situation."""

    runbook: str
    told: Settings
    checks: Sequence[str] = ()
    folder: Path = FOLDER
    steps: Mapping[str, StepSpec] = field(init=False)

    def __post_init__(self) -> None:
        self.steps = {step.name: step for step in loading.load(self.folder, self.runbook).steps}

    @property
    def at(self) -> Situation:
        """The situation."""
        return situation(self.runbook, self.told, self.checks)

    def needed(self, step: str) -> bool:
        """Whether STEP finds something to do."""
        asking = self.steps[step].only_if
        assert asking, f"{step} has no condition"
        return bool(self._work(step, "only_if", [asking(self.at).describe()])["value"])

    def do(self, step: str) -> None:
        """Do STEP."""
        self._work(step, "do", [action.describe() for action in self.steps[step].actions(self.at)])

    def undo(self, step: str) -> None:
        """Take STEP back."""
        self._work(step, "undo", [action.describe() for action in self.steps[step].undoing(self.at)])

    def unseen(self, step: str) -> str:
        """Why it cannot be seen whether STEP is needed, or why it must not be done."""
        asking = self.steps[step].only_if
        assert asking, f"{step} has no condition"
        answer = self._answer(step, "only_if", [asking(self.at).describe()])
        assert answer["outcome"] == "failed", answer
        return str(answer["why"])

    def refusal(self, step: str) -> str:
        """Why STEP does not work."""
        shown = [action.describe() for action in self.steps[step].actions(self.at)]
        answer = self._answer(step, "do", shown)
        assert answer["outcome"] == "failed", answer
        return str(answer["why"])

    def _work(self, step: str, part: str, shown: Sequence[str]) -> dict[str, Any]:
        answer = self._answer(step, part, shown)
        assert answer["outcome"] == "done", answer["why"]
        return answer

    def _answer(self, step: str, part: str, shown: Sequence[str]) -> dict[str, Any]:
        order = Order(self.folder, step, part, self.at, tuple(shown), ROOT)
        return worker.work(Errand(order, 60.0, "mark-of-the-test"))


def run(
    script: str, *arguments: object, variables: Mapping[str, object] | None = None
) -> subprocess.CompletedProcess[str]:
    """What SCRIPT, beside the runbooks, does with ARGUMENTS and environment VARIABLES."""
    environment = {**os.environ, **{name: str(value) for name, value in (variables or {}).items()}}
    command = [str(FOLDER / script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=60)

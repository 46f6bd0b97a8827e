"""A runbook in a folder of its own, and what it takes to perform its steps as a run does."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil
from pytest_runbook.evidence.redaction import Redactor
from pytest_runbook.runbooks.loading import load
from pytest_runbook.runbooks.order import Order, Performed
from pytest_runbook.runbooks.process import perform
from pytest_runbook.runbooks.steps import Situation
from pytest_runbook.settings import load as load_settings

HEAD = '''"""Mend it."""

from pytest_runbook import Situation, StepFailed, call, command, correct, diagnose, manage, script, sql

'''


@dataclass
class Book:
    """The runbook `mend` in FOLDER, for the service `web`."""

    root: Path
    secrets: Iterable[str] = ()

    @property
    def folder(self) -> Path:
        return self.root / "remediation"

    def write(self, text: str) -> None:
        """Make TEXT, with the usual imports before it, the runbook."""
        self.folder.mkdir(exist_ok=True)
        (self.folder / "mend.py").write_text(HEAD + text)

    def script(self, name: str, text: str, mode: int = 0o755) -> Path:
        self.folder.mkdir(exist_ok=True)
        path = self.folder / name
        path.write_text(text)
        path.chmod(mode)
        return path

    def settings(self, text: str) -> None:
        (self.root / "settings.toml").write_text(text)

    @property
    def situation(self) -> Situation:
        file = self.root / "settings.toml"
        loaded = load_settings(self.root, file=file if file.exists() else None, environ={})
        return Situation(
            "mend", "web", "staging", ("web/a::one", "web/a::two"), "20261122T180305Z-4f1c", loaded.settings
        )

    def order(self, step: str, part: str = "do", expected: tuple[str, ...] | None = None) -> Order:
        at = self.situation
        spec = next(spec for spec in load(self.folder, "mend").steps if spec.name == step)
        actions = spec.undoing(at) if part == "undo" else spec.actions(at)
        if part == "only_if" and spec.only_if:
            actions = (spec.only_if(at),)
        shown = tuple(action.describe() for action in actions) if expected is None else expected
        return Order(self.folder, step, part, at, shown, self.root)

    def perform(
        self,
        step: str = "step",
        part: str = "do",
        *,
        timeout: float = 30,
        expected: tuple[str, ...] | None = None,
        on_start: Callable[[int], object] | None = None,
    ) -> Performed:
        return self.send(self.order(step, part, expected), timeout=timeout, on_start=on_start)

    def send(self, order: Order, *, timeout: float = 30, on_start: Callable[[int], object] | None = None) -> Performed:
        return perform(order, timeout=timeout, redactor=Redactor(self.secrets), on_start=on_start)

    def command(self, *argv: str, timeout: float = 30) -> Performed:
        """Perform a step that is one command."""
        self.write(f'@correct()\ndef step(at):\n    """Do it."""\n    return command(*{argv!r})\n')
        return self.perform(timeout=timeout)


def running(token: str) -> list[psutil.Process]:
    """Living processes whose command line has TOKEN in it."""
    return [
        one
        for one in psutil.process_iter(["cmdline", "status"])
        if token in " ".join(one.info["cmdline"] or []) and one.info["status"] != psutil.STATUS_ZOMBIE
    ]

"""A small project with checks of its own, run by a real pytest in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from pytest_runbook.evidence import journal
from pytest_runbook.model import Result, RunRecord

SETTINGS = """
[system]
name = "Shop"
environment = "production"

[services.web]
depends = ["database"]
[services.database]
[services.host]

[confirm]
failures = 1
of = 1
interval = 0.0

[limits.web]
response_time = 2.0
"""


@dataclass(frozen=True)
class Finished:
    """A pytest run that ended."""

    code: int
    output: str
    folder: Path

    @property
    def record(self) -> RunRecord:
        """The record that run.json holds."""
        return RunRecord.from_json(json.loads((self.folder / "run.json").read_text()))

    @property
    def journal(self) -> RunRecord:
        """The record that the journal tells."""
        return journal.read(self.folder / journal.NAME)

    @property
    def results(self) -> dict[str, Result]:
        """Results by the id of their check."""
        return {result.check.id: result for result in self.record.results}

    @property
    def outcomes(self) -> dict[str, str]:
        """Outcomes by the id of their check."""
        return {name: str(result.outcome) for name, result in self.results.items()}


class Project:
    """A folder with settings and checks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write(
            "pytest.ini",
            "[pytest]\nrunbook_settings = shop.toml\npython_files = checks/*.py\n"
            "addopts = -p no:randomly --import-mode=importlib\n",
        )
        self.write("shop.toml", SETTINGS)

    def write(self, name: str, text: str) -> Path:
        """Write TEXT, dedented, to the file NAME."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    def settings(self, text: str) -> None:
        """Append TEXT to the settings."""
        self.write("shop.toml", SETTINGS + textwrap.dedent(text))

    def checks(self, name: str, text: str) -> None:
        """Write the check file NAME below checks/, with the imports that every one needs."""
        head = "import asyncio\nimport pytest\nfrom pytest_runbook import *\n"
        self.write(f"checks/{name}", head + textwrap.dedent(text))

    def command(self, *arguments: str) -> list[str]:
        """The command that runs the checks."""
        return [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            f"--report={self.folder / 'report'}",
            *arguments,
        ]

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment of a run: this one, without what an outer pytest left in it."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
        return inherited | {"COLUMNS": "120"} | dict(extra or {})

    def run(self, *arguments: str, env: Mapping[str, str] | None = None) -> Finished:
        """Run pytest with ARGUMENTS, to its end."""
        done = subprocess.run(
            self.command(*arguments),
            check=False,
            cwd=self.folder,
            env=self.environment(env),
            capture_output=True,
            text=True,
            timeout=120,
        )
        return Finished(done.returncode, done.stdout + done.stderr, self.folder / "report")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project of its own for each test."""
    return Project(tmp_path)

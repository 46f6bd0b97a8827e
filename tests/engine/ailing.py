"""A small system of files that can be broken and mended: a service is up when its file says so."""

from __future__ import annotations

import textwrap
from pathlib import Path

from tests.engine.conftest import Finished, Project

QUICK = {"passes": 2, "interval": 0.0, "cooldown": 0.0}
STEP_HEAD = '''
"""{title}.

Symptom
    The file does not say "up".
"""
from pathlib import Path
from pytest_runbook import *


def note(line):
    with open("state/log", "a") as log:
        log.write(line + "\\n")


def write(tools, *, service, text):
    """Write the state of a service."""
    note(f"{{tools.situation.runbook}} writes {{text}} to {{service}}")
    Path("state", service).write_text(text)


def says(tools, *, service, text):
    """Whether the state is this."""
    return Path("state", service).read_text() == text
'''
FIX = '''
@correct(risk="routine", within=0)
def mend(at):
    """Write that it is up."""
    return call(write, service=at.service, text="up")
'''


class Ailing:
    """Two services, web above database; each has one availability check and a runbook `SERVICE-down`."""

    def __init__(self, project: Project) -> None:
        self.project = project
        (project.folder / "state").mkdir()
        for service in ("web", "database"):
            self.set(service, "up")
            self.check(f"{service}/availability.py", "answers", service, f"{service}-down")
            self.runbook(f"{service}-down", FIX)
        self.settings()

    def set(self, name: str, text: str) -> None:
        """Let the state NAME be TEXT."""
        (self.project.folder / "state" / name).write_text(text)

    def state(self, name: str) -> str:
        """The state NAME."""
        return (self.project.folder / "state" / name).read_text()

    @property
    def log(self) -> list[str]:
        """What steps did, a line each."""
        path = self.project.folder / "state" / "log"
        return path.read_text().splitlines() if path.exists() else []

    def check(self, file: str, name: str, state: str, runbook: str, severity: str = "P1") -> None:
        """A check that the state STATE is "up", in FILE."""
        body = f'''
            @check("daily", severity="{severity}", runbook="{runbook}")
            def test_{name}():
                """The state {state} is up."""
                assert open("state/{state}").read() == "up"
        '''
        path = self.project.folder / "checks" / file
        text = textwrap.dedent(body)
        if path.exists():
            path.write_text(path.read_text() + text)
        else:
            self.project.checks(file, text)

    def runbook(self, name: str, steps: str) -> Path:
        """A runbook NAME with STEPS."""
        return self.project.write(f"remediation/{name}.py", STEP_HEAD.format(title=name) + textwrap.dedent(steps))

    def settings(self, **values: object) -> None:
        """Settings of remediation."""
        lines = "".join(f"{key} = {value}\n" for key, value in {**QUICK, **values}.items())
        self.project.settings(f"[remediation]\n{lines}")

    def apply(self, *arguments: str) -> Finished:
        """Run the checks, and mend."""
        return self.project.run("-m", "daily", "--remediate=apply", *arguments)

"""Managers are declared with their kind's own settings, and services name them; every fault is told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pytest_runbook import managers
from pytest_runbook.errors import UsageError
from pytest_runbook.managers import manager_of
from pytest_runbook.managers.base import ManagerSettings, UnitManager
from pytest_runbook.settings import Settings

from tests.managers.here import local

from .conftest import SETTINGS, Project

DECLARED = """
[managers.production]
kind = "compose"
file = "/opt/shop/compose.yml"
project = "shop"
"""


def with_manager(project: Project, unit: str = "") -> Settings:
    named = SETTINGS.replace("[services.web]\n", f'[services.web]\nmanager = "production"\n{unit}')
    project.settings(DECLARED, base=named)
    return project.load().settings


def test_every_kind_has_its_class_and_settings() -> None:
    assert {"supervisor", "compose", "docker", "systemd"} <= set(managers.names())
    for kind in managers.names():
        found = managers.find(kind)
        assert issubclass(found, UnitManager)
        assert issubclass(found.Settings, ManagerSettings)
        assert found.kind == kind


def test_service_gets_its_manager_and_its_unit(project: Project) -> None:
    manager, unit = manager_of(with_manager(project), "web", local)
    assert (type(manager).__name__, unit) == ("Compose", "web")
    _, unit = manager_of(with_manager(project, 'unit = "shop-web"\n'), "web", local)
    assert unit == "shop-web"


def test_service_without_a_manager_says_which_key_to_set(project: Project) -> None:
    with pytest.raises(UsageError) as caught:
        manager_of(with_manager(project), "database", local)
    assert str(caught.value) == (
        'the service "database" has no manager (known: production)\n'
        "  hint: set services.database.manager to one of [managers.*] in the settings file"
    )
    with pytest.raises(UsageError, match=r'unknown service "wbe" \(known: database, web\)'):
        manager_of(with_manager(project), "wbe", local)


def test_environment_can_declare_another_manager(project: Project) -> None:
    with_manager(project)
    project.environ.update(
        RUNBOOK__SERVICES__WEB__MANAGER="lab",
        RUNBOOK__MANAGERS__LAB__KIND="supervisor",
        RUNBOOK__MANAGERS__LAB__COMMAND='["python", "-m", "supervisor.supervisorctl"]',
        RUNBOOK__MANAGERS__LAB__GRACE="2.5",
    )
    manager, _ = manager_of(project.load().settings, "web", local)
    assert isinstance(manager, UnitManager)
    assert manager.settings.grace == 2.5
    assert manager.settings.command == ("python", "-m", "supervisor.supervisorctl")
    assert project.origin("managers.lab.kind") == "environment RUNBOOK__MANAGERS__LAB__KIND"


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        (
            '[managers.x]\nkind = "upstart"',
            'managers.x.kind: unknown kind of service manager "upstart" (known: compose, docker, supervisor, systemd)',
        ),
        ("[managers.x]\ngrace = 3", "managers.x.kind: should be one of: compose, docker, supervisor, systemd"),
        ('[managers.x]\nkind = "compose"\nproject = "shop"', "managers.x.file: missing"),
        ('[managers.x]\nkind = "systemd"\nusr = true', "managers.x.usr: unknown key"),
        ('[managers.x]\nkind = "systemd"\nusr = true', 'did you mean "managers.x.user"?'),
        ('[managers.x]\nkind = "systemd"\ngrace = 0', "managers.x.grace: should be greater than 0"),
        ('[managers.x]\nkind = "systemd"\non = "web"', 'managers.x.on: unknown host probe "web" (known: none)'),
        (
            '[services.x]\nmanager = "prod"\n[managers.production]\nkind = "systemd"',
            'services.x.manager: unknown manager "prod" (known: production)',
        ),
        ('[services.x]\nunit = "--all"', "services.x.unit: string should match pattern"),
    ],
)
def test_faults_are_told(project: Project, more: str, problem: str) -> None:
    project.settings(more)
    assert problem in project.refused()


def test_all_faults_are_told_at_once(project: Project) -> None:
    project.settings(
        '[services.x]\nmanager = "prod"\n[managers.y]\nkind = "systemd"\nusr = 1\non = "db"\ngrace = "long"'
    )
    message = project.refused()
    for key in ("services.x.manager", "managers.y.usr", "managers.y.on", "managers.y.grace"):
        assert f"runbook.toml: {key}: " in message


def test_manager_on_a_host_that_is_looked_at_is_right(project: Project) -> None:
    project.settings('[probes.app]\nkind = "host"\nuri = "ssh://app"\n[managers.x]\nkind = "systemd"\non = "app"')
    assert project.load().settings.managers["x"].on == "app"


@pytest.mark.parametrize(
    ("uris", "on", "machine"),
    [
        ((), None, None),
        (("local://",), None, None),
        (("local://", "ssh://app"), None, None),
        (("ssh://app",), "local://", None),
        (("ssh://app",), "app0", "app0"),
    ],
)
def test_manager_acts_here_or_on_the_machine_that_is_named(
    project: Project, uris: tuple[str, ...], on: str | None, machine: str | None
) -> None:
    hosts = "".join(f'[probes.app{number}]\nkind = "host"\nuri = "{uri}"\n' for number, uri in enumerate(uris))
    project.settings(f'{hosts}[managers.x]\nkind = "systemd"\n' + (f'on = "{on}"\n' if on else ""))
    assert managers.machine(project.load().settings, "x") == machine


def test_manager_of_a_system_elsewhere_has_to_say_where_it_acts(project: Project) -> None:
    project.settings('[probes.app]\nkind = "host"\nuri = "ssh://app"\n[managers.x]\nkind = "systemd"')
    with pytest.raises(UsageError) as caught:
        managers.machine(project.load().settings, "x")
    assert str(caught.value) == (
        'nothing says on which machine the manager "x" acts: that of probes.app is not this one\n'
        '  hint: managers.x.on = "app", or "local://" for this one'
    )


def test_installed_package_adds_a_kind(tmp_path: Path, project: Project) -> None:
    (tmp_path / "rc.py").write_text(
        "from pytest_runbook.managers.supervisor import Supervisor\nclass Rc(Supervisor):\n    kind = 'rc'\n"
    )
    info = tmp_path / "rc-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: rc\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[pytest_runbook.managers]\nrc = rc:Rc\n")
    project.settings('[services.x]\nmanager = "own"\n[managers.own]\nkind = "rc"')
    code = (
        "import pathlib; from pytest_runbook import managers; from pytest_runbook.settings import load;"
        "s = load(pathlib.Path('.'), file=pathlib.Path('runbook.toml'), environ={}).settings;"
        "print(type(managers.manager_of(s, 'x', None)[0]).__name__)"
    )
    environment = {"PYTHONPATH": str(tmp_path)}
    answer = subprocess.run(
        [sys.executable, "-c", code], check=False, cwd=project.root, env=environment, capture_output=True, text=True
    )
    assert answer.stdout == "Rc\n", answer.stderr

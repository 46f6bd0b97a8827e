"""`runbook config`, as it is called from a shell."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Project

RUNBOOK = Path(sys.executable).with_name("runbook")


def runbook(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(RUNBOOK), *arguments]
    return subprocess.run(
        command, cwd=project.root, env=project.environ, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def shop(project: Project) -> Project:
    """A project whose pytest configuration names the settings."""
    project.write("pyproject.toml", '[tool.pytest.ini_options]\nrunbook_settings = "runbook.toml"\n')
    return project


def test_lines_of_key_value_and_origin(shop: Project) -> None:
    shop.environ |= {"SHOP_DATABASE_URI": "postgresql://app:canary-1@db/shop", "SHOP_PASSWORD": "canary-2"}
    answer = runbook(shop, "config", "--set", "timeout=5")
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr == ""
    rows = {line.split("\t")[0]: tuple(line.split("\t")[1:]) for line in answer.stdout.splitlines()}
    assert rows["system.name"] == ("shop", "runbook.toml")
    assert rows["timeout"] == ("5.0", "command line")
    assert rows["gate"] == ("P2", "default")
    assert rows["probes.database.uri"] == ("postgresql://app:****@db/shop", "environment SHOP_DATABASE_URI")
    assert rows["mail.password"] == ("****", "environment SHOP_PASSWORD")
    assert rows["facts.web.pages"] == ('["/", "/login"]', "runbook.toml")
    assert "canary-" not in answer.stdout


def test_json_of_one_part(shop: Project) -> None:
    answer = runbook(shop, "config", "--json", "limits")
    assert json.loads(answer.stdout) == {
        "limits.web.uptime": {"value": 0.99, "origin": "runbook.toml"},
        "limits.web.queue": {"value": 100, "origin": "runbook.toml"},
    }


def test_settings_are_found_from_a_folder_below(shop: Project) -> None:
    (shop.root / "checks" / "web").mkdir(parents=True)
    below = Project(shop.root / "checks" / "web")
    assert runbook(below, "config", "system.name").stdout == "system.name\tshop\trunbook.toml\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("pytest.ini", "[pytest]\nrunbook_settings = other.toml\n"),
        ("tox.ini", "[tox]\nenv_list = a\n[pytest]\nrunbook_settings = other.toml\n"),
        ("setup.cfg", "[tool:pytest]\nrunbook_settings = other.toml\n"),
        ("pyproject.toml", '[tool.pytest]\nrunbook_settings = "other.toml"\n'),
    ],
)
def test_settings_are_found_in_any_configuration_of_pytest(project: Project, name: str, content: str) -> None:
    project.write(name, content)
    project.write("other.toml", 'gate = "P3"\n')
    assert runbook(project, "config", "gate").stdout == "gate\tP3\tother.toml\n"


def test_settings_may_be_named(shop: Project) -> None:
    shop.write("other.toml", 'gate = "P1"\n')
    assert runbook(shop, "config", "gate", "--settings", "other.toml").stdout == "gate\tP1\tother.toml\n"


def test_bad_settings_end_with_4_and_every_fault(shop: Project) -> None:
    shop.settings("[confirm]\nfailurs = 1")
    shop.environ["RUNBOOK__GATE"] = "P9"
    answer = runbook(shop, "config")
    assert answer.returncode == 4
    assert answer.stdout == ""
    assert "2 faults in the settings" in answer.stderr
    assert "runbook.toml: confirm.failurs: unknown key" in answer.stderr
    assert 'environment RUNBOOK__GATE: gate: should be one of: P1, P2, P3 (value "P9")' in answer.stderr


def test_broken_files_of_the_system_end_with_4(shop: Project) -> None:
    shop.config('{"a": 1,}')
    shop.write(".env", "A=1\n=2\n")
    answer = runbook(shop, "config")
    assert answer.returncode == 4
    assert f"{shop.root}/shop.json:1: broken JSON: " in answer.stderr
    assert f"{shop.root}/.env:2: broken line" in answer.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["config", "nowhere"], 'unknown key "nowhere" (known: '),
        (["config", "--settings", "nowhere.toml"], "nowhere.toml: cannot be read (no such file or directory)"),
        (["config", "--wrong"], "--wrong"),
        (["wrong"], "wrong"),
    ],
)
def test_bad_usage_ends_with_4(shop: Project, arguments: list[str], said: str) -> None:
    answer = runbook(shop, *arguments)
    assert answer.returncode == 4
    assert said in answer.stderr


def test_no_settings_anywhere_ends_with_4(project: Project) -> None:
    answer = runbook(project, "config")
    assert answer.returncode == 4
    assert "no settings named" in answer.stderr
    assert "hint: --settings FILE" in answer.stderr


def test_broken_configuration_of_pytest_is_named(project: Project) -> None:
    project.write("pyproject.toml", "[tool.pytest\n")
    answer = runbook(project, "config")
    assert answer.returncode == 4
    assert f"{project.root}/pyproject.toml: " in answer.stderr


def test_help_documents_the_exit_codes(shop: Project) -> None:
    for arguments in (["--help"], ["config", "--help"]):
        answer = runbook(shop, *arguments)
        assert answer.returncode == 0
        assert "Exit codes:" in answer.stdout
    assert "config" in runbook(shop, "--help").stdout

"""What is said of settings that cannot be used: where, which key, which value, the known ones, what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_runbook import Unmeasured
from pytest_runbook.settings import SettingsError, load

from .conftest import Project, lines_about


def test_unknown_key_is_named_with_the_known_ones_nearest_first(project: Project) -> None:
    project.settings("[confirm]\nfailurs = 1")
    assert project.refused() == (
        "runbook.toml: confirm.failurs: unknown key (known: failures, interval, of)\n"
        '  hint: did you mean "confirm.failures"?'
    )


@pytest.mark.parametrize(
    ("key", "known"),
    [
        ("nonsense", "backup, concurrency, confirm, "),
        ("limits.web.uptme", "uptime, queue"),
        ("limits.wob.uptime", "web"),
        ("facts.web.pagse", "pages, debug, version, workers"),
        ("probes.web.ulr", "url, "),
        ("probes.wbe.url", "web, database"),
        ("services.web.depend", "depends, description"),
        ("system.nme", "name, "),
        ("mail.hots", "host, "),
    ],
)
def test_unknown_key_of_a_stronger_layer_is_named(project: Project, key: str, known: str) -> None:
    message = project.refused(f"{key}=1")
    assert message.startswith("command line: ")
    assert "unknown key" in message
    assert key.rpartition(".")[2] in message or key.split(".")[1] in message
    assert f"(known: {known}" in message


def test_unknown_direct_variable_is_named(project: Project) -> None:
    project.environ["RUNBOOK__LIMTS__WEB__UPTIME"] = "1"
    message = project.refused()
    assert message.startswith("environment RUNBOOK__LIMTS__WEB__UPTIME: limts: unknown key (known: limits, ")
    assert 'did you mean "limits"?' in message


def test_mapped_variable_with_an_unknown_target_is_named(project: Project) -> None:
    project.settings("", project.root.joinpath("runbook.toml").read_text().replace('"mail.port"', '"mail.prt"'))
    project.environ["SHOP_SMTP_PORT"] = "25"
    message = project.refused()
    assert message.startswith("environment SHOP_SMTP_PORT: mail.prt: unknown key (known: port, ")
    assert "SHOP_SMTP_PORT" in message


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("gate=P9", 'gate: should be one of: P1, P2, P3 (value "P9")'),
        ("timeout=soon", 'timeout: should be a valid number (value "soon")'),
        ("timeout=0", 'timeout: should be greater than 0 (value "0")'),
        ("mail.port=70000", 'mail.port: should be less than or equal to 65535 (value "70000")'),
        ("mail.security=ssl", 'mail.security: should be one of: starttls, tls, none (value "ssl")'),
        ("system.environment=prod", 'environment: should be one of: development, staging, production (value "prod")'),
        ("limits.web.uptime=high", 'limits.web.uptime: should be a number (value "high")'),
        ("limits.web.uptime=true", 'limits.web.uptime: should be a number (value "true")'),
        ("limits.web.uptime=nan", 'limits.web.uptime: should be a number (value "nan")'),
        ("limits.web.queue=inf", 'limits.web.queue: should be a number (value "inf")'),
        ("limits.web=1", 'limits.web: should be a table (value "1")'),
        ('limits.web={"uptime": 0.5, "uptme": 1}', "limits.web.uptme: unknown key (known: uptime, queue)"),
        ("facts.web.debug=1", 'facts.web.debug: should be true or false (value "1")'),
        ('facts.web.version=["a"]', "facts.web.version: should be text (given: a list)"),
        ('facts.web.pages={"a": 1}', "facts.web.pages: should be a list of text (given: a table)"),
        ("probes.web.timeout=x", 'probes.web.timeout: should be a valid number (value "x")'),
        ("probes.web=http://x", "probes.web: should be a valid dictionary"),
        ("probes.database.port=0", 'probes.database.port: should be greater than or equal to 1 (value "0")'),
        ("confirm.failures=4", "confirm: failures should be at most of (4 > 3)"),
        ("=1", '"": should be key=value'),
        ("timeout", '"timeout": should be key=value'),
    ],
)
def test_bad_value_is_named_with_what_it_should_be(project: Project, override: str, line: str) -> None:
    message = project.refused(override)
    assert message.startswith("command line: ")
    assert line in message


def test_origin_of_a_bad_value_is_its_own_layer(project: Project) -> None:
    project.config({"database": {"port": "many"}})
    message = project.refused()
    assert message.startswith('shop.json: probes.database.port: should be a valid integer (value "many")')
    assert message.endswith("hint: it is given by database.port")


def test_all_faults_are_told_at_once(project: Project) -> None:
    project.settings('[mail]\nport = "x"\n[probes.more]\nkind = "telepathy"\n[services.cache]\ndepends = ["x"]')
    project.environ |= {"SHOP_UPTIME": "high", "RUNBOOK__REPORT__FOLDER": "x"}
    project.config({"database": {"port": "many"}})
    message = project.refused("limits.web.queu=3", "oops")
    assert message.startswith("8 faults in the settings\n")
    for key in ("mail.port", "limits.web.uptime", "report.folder", "probes.database.port", "limits.web.queu"):
        assert len(lines_about(message, key)) == 1, message
    assert 'unknown kind of probe "telepathy" (known: ' in message
    assert 'unknown service "x" (known: cache, database, web)' in message
    assert '"oops": should be key=value' in message


def test_probe_without_a_kind_names_the_kinds(project: Project) -> None:
    project.settings("[probes.more]\nurl = 'http://x'")
    message = project.refused()
    assert message.startswith("runbook.toml: probes.more.kind: should be one of: ")
    assert "http" in message and "postgresql" in message


def test_cycle_of_services_is_shown(project: Project) -> None:
    project.settings(
        '[services.a]\ndepends = ["b"]\n[services.b]\ndepends = ["c"]\n[services.c]\ndepends = ["a"]', base=""
    )
    message = project.refused()
    assert message.startswith("runbook.toml: services: dependencies go round in a circle: ")
    way = message.partition("circle: ")[2].split(" (")[0].split(" -> ")
    assert way[0] == way[-1] and set(way) == {"a", "b", "c"}


def test_name_that_cannot_be_a_fixture_is_refused(project: Project) -> None:
    project.settings('[probes."my-web"]\nkind = "http"')
    assert "my-web" in project.refused()


def test_broken_settings_file_is_named_with_its_line(project: Project) -> None:
    project.settings("[limits.web\nx = 1", base="gate = 'P1'\n")
    assert f"{project.root}/runbook.toml:3: broken TOML: " in project.refused()


def test_settings_file_that_is_no_text_is_named(project: Project) -> None:
    (project.root / "runbook.toml").write_bytes(b"name = '\xff'")
    assert f"{project.root}/runbook.toml: not UTF-8 text (byte 8)" in project.refused()


def test_missing_settings_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no such file or directory") as caught:
        load(tmp_path, file=Path("nowhere.toml"), environ={})
    assert str(tmp_path / "nowhere.toml") in str(caught.value)
    assert "hint: " in str(caught.value)


@pytest.mark.parametrize("variable", ["SHOP_CONFIG_FILE", "SHOP_ENV_FILE"])
def test_file_that_a_variable_names_has_to_be_there(project: Project, variable: str) -> None:
    project.environ[variable] = "/nowhere/shop"
    assert project.refused() == (
        f'environment {variable}: {variable}: no such file (value "/nowhere/shop")\n  hint: correct or unset {variable}'
    )


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('{"database": {\n  "port": 1,\n}}', "3: broken JSON: "),
        ("[1, 2]", "1: broken JSON: an object is expected, this is a list"),
        ("", "1: broken JSON: expecting value"),
        ("[" * 100_000, " broken JSON: nested too deep"),
    ],
)
def test_broken_json_of_the_system_is_a_finding_with_its_line(project: Project, content: str, problem: str) -> None:
    project.config(content)
    loaded = project.load()
    assert loaded.system.config_error and f"{project.root}/shop.json:{problem}" in loaded.system.config_error
    assert loaded.system.config == {}


@pytest.mark.parametrize(
    ("value", "named"), [("3", "a number"), ("true", "true or false"), ('"hidden-canary"', "text"), ("[1]", "a list")]
)
def test_section_of_the_json_that_is_no_object_is_a_finding(project: Project, value: str, named: str) -> None:
    project.config(f'{{"database": {value}, "web": 7, "security": {value}}}')
    system = project.load().system
    assert system.config_error == (
        f"{project.root}/shop.json: database: an object is expected, this is {named};"
        " web: an object is expected, this is a number"
    )
    with pytest.raises(Unmeasured, match=f"shop.json: security: an object is expected, this is {named}$"):
        system.key("security.csrf")


@pytest.mark.parametrize("value", ["null", '"***masked***"', '""', "{}"])
def test_section_of_the_json_may_tell_nothing(project: Project, value: str) -> None:
    project.config(f'{{"database": {value}, "web": {{"workers": 3}}}}')
    system = project.load().system
    assert system.config_error is None
    assert (system.key("database.host"), system.key("web.workers"), system.key("nowhere.at.all")) == (None, 3, None)


def test_broken_env_file_of_the_system_is_a_finding_with_its_line(project: Project) -> None:
    path = project.write(".env", "A=1\n\n= hidden-canary\nB=2\n")
    error = project.load().system.env_error
    assert error == f"{path}:3: broken line: NAME=value is expected"


def test_system_files_that_cannot_be_read_are_findings(project: Project) -> None:
    (project.root / ".env").mkdir()
    loaded = project.load()
    assert loaded.system.env_error == f"{project.root}/.env: cannot be read (is a directory)"


def test_system_file_in_a_closed_folder_is_a_finding(project: Project) -> None:
    project.environ["SHOP_CONFIG_FILE"] = "x" * 300 + "/shop.json"
    assert "cannot be read (file name too long)" in str(project.load().system.config_error)


def test_unreadable_file_of_a_value_is_a_fault(project: Project) -> None:
    project.environ["SHOP_PASSWORD_FILE"] = "/nowhere/password"
    message = project.refused()
    assert message.startswith(
        "environment SHOP_PASSWORD_FILE: SHOP_PASSWORD_FILE: /nowhere/password: cannot be read (no such"
    )
    assert "hint: name a readable file that holds SHOP_PASSWORD" in message


def test_value_and_its_file_together_are_a_fault(project: Project) -> None:
    project.environ |= {"SHOP_PASSWORD": "x", "SHOP_PASSWORD_FILE": str(project.write("p", "y"))}
    assert "SHOP_PASSWORD_FILE: SHOP_PASSWORD is set as well\n  hint: set one of the two" in project.refused()


def test_maps_of_a_wrong_form_are_told(project: Project) -> None:
    project.settings("[system]\nenvironment_map = 3\nconfig_map = { 'a.b' = 4 }", base="")
    message = project.refused()
    assert "runbook.toml: system.environment_map: should be a valid dictionary" in message
    assert 'runbook.toml: system.config_map."a.b": ' in message

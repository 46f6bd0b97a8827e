"""The settings of NightScan itself: they load, hold every limit of the guide, and declare what the checks read."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pytest_runbook.settings import Loaded, Table, load

ROOT = Path(__file__).parents[2]
FILE = ROOT / "nightscan.toml"
READ = re.compile(r"(?<![\w.])(limits|facts)((?:\.[a-z][a-z0-9_]*)+)(?!\w*\()")


@pytest.fixture(scope="module")
def loaded() -> Loaded:
    return load(ROOT, file=FILE, environ={}, overrides=["system.env_file=/nowhere/.env"])


def test_limits_of_the_guide(loaded: Loaded) -> None:
    limits = loaded.settings.limits
    assert limits.web.uptime == 0.999, "G08"
    assert limits.web.response_time_p95 == 2.0, "G09"
    assert limits.web.error_rate == 0.001, "G10"
    assert limits.host.memory == 0.80, "G11"
    assert limits.database.connections == 0.90, "G12"
    assert limits.database.query_time_p95 == 0.100, "G13"
    assert limits.host.disk == 0.85, "G14, G26"
    assert limits.database.replication_lag == 5.0, "G15"
    assert limits.ml.prediction_latency == 5.0, "G16"
    assert limits.ml.accuracy == 0.95, "G17"
    assert limits.queue.length == 100, "G18"
    assert limits.gpu.memory == 0.90, "G19"
    assert limits.logs.age == 30 * 86400, "G23"
    assert limits.database.analyzed_within == 86400, "G24"
    assert limits.host.inodes == 0.85, "G26"
    assert limits.certificate.days == 30, "G32"


def test_nothing_in_the_file_is_taken_for_a_secret(loaded: Loaded) -> None:
    """It is under version control; a word of it that counts as a secret would be blanked in every report."""
    assert not loaded.secrets


def test_every_limit_names_its_row_of_the_guide() -> None:
    lines = FILE.read_text().splitlines()
    start, end = (next(i for i, line in enumerate(lines) if f"---- {word}" in line) for word in ("Limits", "Facts"))
    limits = [line for line in lines[start:end] if re.match(r"\w+ *=", line)]
    assert len(limits) > 30
    assert [line for line in limits if not re.search(r"# .*G\d\d", line)] == []


def test_every_comment_of_a_row_names_a_row_that_exists() -> None:
    assert {int(row) for row in re.findall(r"\bG(\d\d)\b", FILE.read_text())} <= set(range(1, 61))


def test_everything_that_checks_read_is_declared(loaded: Loaded) -> None:
    tables: dict[str, Any] = {"limits": loaded.settings.limits, "facts": loaded.settings.facts}
    missing = set()
    for path in [*ROOT.glob("checks/**/*.py"), *ROOT.glob("remediation/**/*.py")]:
        for table, keys in READ.findall(path.read_text()):
            value = tables[table]
            for key in keys.split(".")[1:]:
                if isinstance(value, Table) and key not in value and not hasattr(dict, key):
                    missing.add(f"{path.relative_to(ROOT)}: {table}{keys}")
                    break
                value = value[key] if isinstance(value, Table) and key in value else None
    assert not missing


def test_every_map_leads_to_a_setting_that_exists(tmp_path: Path) -> None:
    """Whatever NightScan's environment and JSON give, it has a place: no deployment meets an unknown key."""
    system = tomllib.loads(FILE.read_text())["system"]
    typical = {
        "PORT": "25",
        "port": 5432,
        "size": 5,
        "overflow": 5,
        "database": 0,
        "workers": 4,
        "classes": 6,
        "ssl": False,
    }
    environ = dict.fromkeys(re.findall(r"\b[A-Z][A-Z_]+\b", " ".join(system["environment_map"])), "value")
    environ |= {"NIGHTSCAN_DATABASE_URI": "postgresql://u:p@h/d", "REDIS_URL": "redis://:p@h/0", "SMTP_PORT": "25"}
    config: dict[str, Any] = {}
    for source in system["config_map"]:
        for key in re.findall(r"{([^}]+)}", source) or [source]:
            section, _, name = key.partition(".")
            value = next((typical[word] for word in typical if name.endswith(word)), "value")
            config.setdefault(section, {})[name] = value
    config["database"]["database"] = "nightscan"
    config["ml"]["use_gpu"] = True
    (tmp_path / "production.json").write_text(json.dumps(config))
    environ |= {"NIGHTSCAN_ENV": "staging", "NIGHTSCAN_CONFIG_FILE": str(tmp_path / "production.json")}
    loaded = load(tmp_path, file=FILE, environ=environ, overrides=["system.env_file=/nowhere/.env"])
    given = {target for kind in ("environment_map", "config_map") for target in _targets(system[kind])}
    assert {key for key in given if loaded.origins[key] in ("default", str(FILE))} == set()


@pytest.mark.parametrize(
    ("host", "url"), [("::1", "http://[::1]:8000"), ("127.0.0.1", "http://127.0.0.1:8000"), ("web", "http://web:8000")]
)
def test_an_address_of_ipv6_stands_in_brackets(host: str, url: str, tmp_path: Path) -> None:
    config = tmp_path / "production.json"
    config.write_text(json.dumps({"services": {"web_host": host, "web_port": 8000}}))
    environ = {"NIGHTSCAN_ENV": "staging", "NIGHTSCAN_CONFIG_FILE": str(config)}
    told = load(tmp_path, file=FILE, environ=environ, overrides=["system.env_file=/nowhere/.env"]).settings
    assert told.probes["web"].model_dump()["url"] == url


def test_what_is_documented_for_a_machine_elsewhere_moves_every_manager() -> None:
    page = (ROOT / "docs" / "your-system.md").read_text()
    moved = dict(re.findall(r"\b(RUNBOOK__(?:PROBES__HOST|MANAGERS)__\w+)=(\S+)", page))
    managers = load(ROOT, file=FILE, environ=moved, overrides=["system.env_file=/nowhere/.env"]).settings.managers
    assert [name for name, manager in managers.items() if manager.on != "host"] == []


def _targets(table: dict[str, Any]) -> list[str]:
    return [target for value in table.values() for target in (value if isinstance(value, list) else [value])]


def test_engine_knows_no_word_of_the_system() -> None:
    sources = [*ROOT.glob("plugins/**/*.py")]
    assert len(sources) > 30
    assert [str(path) for path in sources if re.search(r"nightscan", path.read_text(), re.IGNORECASE)] == []

"""A project in a temporary folder: its files are written as a test needs them, and its settings are loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pytest_runbook.settings import Loaded, SettingsError, load

SETTINGS = """
[system]
name = "shop"
environment_variable = "SHOP_ENV"
config_file_variable = "SHOP_CONFIG_FILE"
env_file_variable = "SHOP_ENV_FILE"

[system.environment_map]
SHOP_DATABASE_URI = "probes.database.uri"
SHOP_PASSWORD = ["probes.database.password", "mail.password"]
SHOP_SMTP_PORT = "mail.port"
SHOP_MAIL_TO = "mail.recipients"
SHOP_UPTIME = "limits.web.uptime"
"https://{SHOP_DOMAIN}:{SHOP_PORT}" = "probes.web.url"

[system.config_map]
"database.host" = "probes.database.host"
"database.port" = "probes.database.port"
"database.password" = "probes.database.password"
"http://localhost:{web.port}" = "probes.web.url"
"http://{web.host}:{web.port}" = "probes.web.url"
"web.workers" = "facts.web.workers"

[services.web]
depends = ["database"]
[services.database]

[probes.web]
kind = "http"
url = "http://localhost:8000"
[probes.database]
kind = "postgresql"
host = "localhost"

[limits.web]
uptime = 0.99
queue = 100
[facts.web]
pages = ["/", "/login"]
workers = 4
debug = false
version = "1.0"
"""


@dataclass
class Project:
    """A folder with settings, and the environment of the process that loads them."""

    root: Path
    environ: dict[str, str] = field(default_factory=dict)

    def write(self, name: str, content: str | Mapping[str, Any]) -> Path:
        """Write CONTENT, text or what becomes JSON, to the file NAME."""
        path = self.root / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    def settings(self, more: str, base: str = SETTINGS) -> None:
        """Write the settings file: BASE and MORE tables."""
        self.write("runbook.toml", f"{base}\n{more}")

    def config(self, content: str | Mapping[str, Any]) -> None:
        """Write the system's JSON, and name it in the environment."""
        self.environ["SHOP_CONFIG_FILE"] = str(self.write("shop.json", content))

    def load(self, *overrides: str) -> Loaded:
        """The settings, with OVERRIDES as on the command line."""
        return load(self.root, file=Path("runbook.toml"), environ=self.environ, overrides=overrides)

    def refused(self, *overrides: str) -> str:
        """The message with which the settings are refused."""
        with pytest.raises(SettingsError) as caught:
            self.load(*overrides)
        return str(caught.value)

    def origin(self, key: str, *overrides: str) -> str:
        """Where the value of KEY comes from."""
        return self.load(*overrides).origins[key]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.settings("")
    return project


def lines_about(message: str, key: str) -> Sequence[str]:
    """Lines of MESSAGE that speak of KEY."""
    return [line for line in message.splitlines() if f": {key}:" in line]

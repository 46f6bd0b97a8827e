"""Reads what a service is told: environment variables and the system's own JSON file, nothing else.

`NIGHTSCAN_ENV`, `NIGHTSCAN_CONFIG_FILE`, `NIGHTSCAN_DATABASE_URI`, `REDIS_URL`, `SECRET_KEY`, `VERSION`, `LAB_DIR`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
ABSENT = (None, "***masked***")


@dataclass(frozen=True)
class Environment:
    """What one service process was told when it started."""

    variables: Mapping[str, str]
    config: Mapping[str, Any]

    def get(self, key: str, default: T) -> T:
        """Value of the JSON file at the dotted KEY, as DEFAULT's type; DEFAULT when absent, null or masked."""
        value: Any = self.config
        for name in key.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        return default if value in ABSENT else type(default)(value)  # type: ignore[call-arg]

    @property
    def database_uri(self) -> str:
        """The PostgreSQL URI."""
        return self.variables["NIGHTSCAN_DATABASE_URI"]

    @property
    def redis_url(self) -> str:
        """The Redis URL."""
        return self.variables["REDIS_URL"]

    @property
    def version(self) -> str:
        """The version that was deployed, as the image tag says it."""
        return self.variables.get("VERSION", "0.0.0")

    @property
    def folder(self) -> Path:
        """The lab's folder, where the files of faults lie."""
        return Path(self.variables.get("LAB_DIR", "."))

    @property
    def home(self) -> Path:
        """What /opt/nightscan is on a real machine: the configuration lies in `config` below it."""
        file = self.variables.get("NIGHTSCAN_CONFIG_FILE")
        return Path(file).absolute().parents[1] if file else self.folder

    @property
    def uploads(self) -> Path:
        """Where recordings lie until they are classified."""
        return self.home / "uploads"

    @property
    def log_file(self) -> Path:
        """Where the JSON lines go."""
        directory = Path(self.get("logging.log_directory", "logs"))
        return self.home / directory / self.get("logging.log_filename", "nightscan.log")


def read(variables: Mapping[str, str] = os.environ) -> Environment:
    """The environment of this process; a missing file or broken JSON stops it with the plain error."""
    file = variables.get("NIGHTSCAN_CONFIG_FILE")
    config = json.loads(Path(file).read_text(encoding="utf-8")) if file else {}
    return Environment(dict(variables), config)

"""Finds the settings file of a project as pytest would: `runbook_settings` in the nearest configuration of pytest."""

from __future__ import annotations

import configparser
import tomllib
from pathlib import Path

from pytest_runbook.errors import SettingsError

KEY = "runbook_settings"
_FILES = {
    "pytest.ini": "pytest",
    ".pytest.ini": "pytest",
    "pyproject.toml": "tool",
    "tox.ini": "pytest",
    "setup.cfg": "tool:pytest",
}
"""Where pytest looks, in its order, and the section it reads."""


def project(start: Path) -> tuple[Path, Path | None]:
    """Root folder and settings file of the project that START lies in; START and None when none names settings."""
    for folder in (start, *start.parents):
        for name, section in _FILES.items():
            if (folder / name).is_file() and (value := _value(folder / name, section)):
                return folder, folder / value
    return start, None


def _value(path: Path, section: str) -> str | None:
    try:
        if path.suffix == ".toml":
            pytest = tomllib.loads(path.read_text(encoding="utf-8")).get(section, {}).get("pytest", {})
            value = pytest.get("ini_options", pytest).get(KEY)
            return str(value) if value else None
        parser = configparser.ConfigParser(interpolation=None)
        parser.read(path, encoding="utf-8")
        return parser.get(section, KEY, fallback=None)
    except (tomllib.TOMLDecodeError, configparser.Error, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: {str(error).splitlines()[0].lower()}\n  hint: correct the file") from None

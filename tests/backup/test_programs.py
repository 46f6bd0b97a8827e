"""PostgreSQL's and Redis' programs are found where they are; one that is too old, or not there, is told."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_runbook.backup import programs
from pytest_runbook.errors import BackupError

Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path) -> Install:
    def make(folder: str, *names: str, version: str = "17.4") -> Path:
        place = tmp_path / folder
        place.mkdir(exist_ok=True)
        for name in names:
            says = f"Redis server v={version} sha=0" if name.endswith("-server") else f"{name} (PostgreSQL) {version}"
            (place / name).write_text(f"#!/bin/sh\necho '{says}'\n")
            (place / name).chmod(0o755)
        return place

    return make


def test_the_setting_is_taken_alone(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(install("path", "pg_dump")))
    chosen = install("chosen", "pg_dump")
    assert programs.postgresql(chosen, ["pg_dump"]) == chosen
    with pytest.raises(BackupError, match=re.escape(f'"{chosen}" has no pg_restore')):
        programs.postgresql(chosen, ["pg_dump", "pg_restore"])


def test_else_path_and_one_that_is_too_old_is_passed_over(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    found = install("path", "pg_dump", version="16.1")
    monkeypatch.setenv("PATH", str(found))
    monkeypatch.setattr(programs, "DEBIAN", found.parent / "none")
    assert programs.postgresql(None, ["pg_dump"], least=16) == found
    with pytest.raises(BackupError) as caught:
        programs.postgresql(None, ["pg_dump"], least=17)
    assert "pg_dump of version 17 or later" in str(caught.value)
    assert f'"{found}" is of version 16.1' in str(caught.value)
    assert "backup.programs.postgresql" in str(caught.value)


def test_debian_has_a_folder_for_each_version(
    install: Install, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for version in ("9.6", "13", "15"):
        (tmp_path / version).mkdir()
        install(f"{version}/bin", "pg_dump", version=f"{version}.1")
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setattr(programs, "DEBIAN", tmp_path)
    assert programs.postgresql(None, ["pg_dump"]) == tmp_path / "15" / "bin"


def test_of_those_that_know_the_server_the_nearest_is_taken(
    install: Install, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A later one says what an earlier server does not know."""
    for version in ("14", "15"):
        (tmp_path / version).mkdir()
        install(f"{version}/bin", "pg_dump", version=f"{version}.1")
    path = install("path", "pg_dump", version="17.4")
    monkeypatch.setenv("PATH", str(path))
    monkeypatch.setattr(programs, "DEBIAN", tmp_path)
    assert programs.postgresql(None, ["pg_dump"], least=13) == tmp_path / "14" / "bin"
    assert programs.postgresql(None, ["pg_dump"], least=15) == tmp_path / "15" / "bin"
    assert programs.postgresql(None, ["pg_dump"], least=16) == path


def test_redis_or_valkey(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    place = install("path", "valkey-server", version="9.1.2")
    monkeypatch.setenv("PATH", str(place))
    assert programs.redis(None, least=9) == place / "valkey-server"
    with pytest.raises(BackupError, match=r"version 10 or later.*is of version 9\.1\.2"):
        programs.redis(None, least=10)
    with pytest.raises(BackupError, match="nowhere"):
        programs.redis(Path("/nowhere"))

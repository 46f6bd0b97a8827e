"""A backup of a newer database than the deployed software knows is refused, when anything tells which came first."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_runbook.backup import destinations
from pytest_runbook.backup.manifest import Manifest
from pytest_runbook.backup.restore import revisions
from pytest_runbook.settings import Settings, load

MADE = (("r1", "1.0"), ("r1", "1.1"), ("r2", "2.0"), ("r3", "3.0"))
"""Revision and release of each backup, the oldest first."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for day, (schema, release) in enumerate(MADE, 1):
        path = tmp_path / "local" / f"2026010{day}T000000Z"
        path.mkdir(parents=True)
        path.joinpath("manifest.json").write_text(made(day, schema, release).text())
    foreign = tmp_path / "local" / "20250101T000000Z"
    foreign.mkdir()
    foreign.joinpath("manifest.json").write_text("{")
    return tmp_path


def made(day: int, schema: str | None, release: str = "") -> Manifest:
    id_, moment = f"2026010{day}T000000Z", f"2026-01-0{day}T00:00:00Z"
    return Manifest(id_, "Shop", "staging", moment, moment, "test", release=release, schema=schema)


def told(folder: Path, needs: str = "", release: str = "", known: str = "[]") -> Settings:
    """Settings of a system that NEEDS a revision, whose deployed RELEASE is known, or what revisions are KNOWN."""
    file = folder / "s.toml"
    file.write_text(
        '[system]\nname = "Shop"\nenvironment = "staging"\nenv_file = "/nowhere/.env"\n'
        f'[facts.database]\nrevision = "{needs}"\n[restore]\nrevisions = {known}\n[backup]\nrelease = "{release}"\n'
        '[backup.destinations.local]\nkind = "folder"\npath = "local"\n'
    )
    return load(folder, file=file, environ={}).settings


def refusal(folder: Path, settings: Settings, manifest: Manifest) -> str | None:
    return revisions.refusal(settings, destinations.connect("local", settings, folder), manifest)


@pytest.mark.parametrize(
    ("what", "schema", "said"),
    [
        ({"needs": "r2"}, "r3", 'at revision "r3", facts.database.revision is "r2", which came before it'),
        ({"needs": "r2"}, "r2", None),
        ({"needs": "r2"}, "r1", None),
        ({"needs": "r4"}, "r3", None),  # a new release: nobody knows which is newer
        ({"needs": "r1"}, "r9", 'facts.database.revision is "r1"'),
        ({"release": "2.0"}, "r3", 'backups of the deployed release, "2.0", are at "r2"'),
        ({"release": "2.0"}, "r1", None),
        ({"release": "4.0"}, "r3", None),
        ({}, "r3", None),
        ({"known": '["r1", "r2"]'}, "r3", 'knows up to "r2"'),
        ({"known": '["r1", "r3"]', "needs": "r1"}, "r3", None),
        ({"known": '["r1", "r2", "r3"]'}, "r1,r3", None),  # two heads
        ({"known": '["r1", "r2"]'}, "r1,r3", 'knows up to "r2"'),
        ({"needs": "r1"}, None, None),
    ],
)
def test_what_tells_that_a_backup_is_too_new(
    folder: Path, what: dict[str, str], schema: str | None, said: str | None
) -> None:
    found = refusal(folder, told(folder, **what), made(5, schema, "3.0"))
    assert (found is None) == (said is None)
    if said:
        assert found
        assert said in found
        assert 'hint: deploy the release that made it (it says "3.0") first' in found

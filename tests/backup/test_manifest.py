"""The manifest travels as JSON that a published schema describes; what is none is told with its reason."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import jsonschema
import pytest
from pytest_runbook.backup.manifest import Manifest
from pytest_runbook.backup.verdict import REASONS
from pytest_runbook.errors import BackupError

from tests.docs.pages import DOCS, spoken

LEAST = {
    "version": 1,
    "id": "20260101T000000Z",
    "system": "shop",
    "environment": "production",
    "created": "2026-01-01T00:00:00Z",
    "finished": "2026-01-01T00:00:01Z",
    "software": "test",
}


def test_the_published_schema_is_that_of_the_code() -> None:
    published = json.loads((files("pytest_runbook.backup") / "manifest.schema.json").read_text())
    assert published == Manifest.json_schema(), "write it anew: see docs/backup.md"
    jsonschema.Draft202012Validator.check_schema(published)


def test_what_is_written_is_read() -> None:
    manifest = Manifest.parse(json.dumps(LEAST))
    assert Manifest.parse(manifest.text()) == manifest
    jsonschema.validate(json.loads(manifest.text()), Manifest.json_schema())


@pytest.mark.parametrize(
    ("told", "reason", "word"),
    [
        ("{", "corrupt", "no JSON"),
        (b"\xff\xfe", "corrupt", "no JSON"),
        ("[]", "corrupt", "is none"),
        ("null", "corrupt", "is none"),
        (LEAST | {"version": 3}, "unknown-version", '"3"'),
        ({key: value for key, value in LEAST.items() if key != "system"}, "corrupt", "system"),
        (LEAST | {"id": "../../etc"}, "corrupt", "../../etc"),
        (LEAST | {"files": {"a": {"size": "x"}}}, "corrupt", "files.a.size"),
    ],
)
def test_what_is_none_is_told(told: Any, reason: str, word: str) -> None:
    with pytest.raises(BackupError) as caught:
        Manifest.parse(told if isinstance(told, str | bytes) else json.dumps(told))
    assert caught.value.reason == reason
    assert word in str(caught.value)


def test_keys_of_a_later_minor_version_are_left_out() -> None:
    assert Manifest.parse(json.dumps(LEAST | {"more": 1})) == Manifest.parse(json.dumps(LEAST))


def test_the_page_names_every_key_and_every_reason() -> None:
    page = spoken((DOCS / "backup.md").read_text(encoding="utf-8"))
    schema = Manifest.json_schema()
    keys = {key for shape in (schema, *schema["$defs"].values()) for key in shape["properties"]}
    assert keys - page == set()
    assert set(REASONS) - page == set()

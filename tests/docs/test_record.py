"""The page of the record names every key that run.json can hold, and every type of the journal."""

from __future__ import annotations

import inspect
import json
import re

from pytest_runbook.evidence import journal

from tests.docs.pages import DOCS, ROOT, spoken


def test_every_key_of_the_schema_is_named() -> None:
    schema = json.loads((ROOT / "reports/runbook_reports/record.schema.json").read_text(encoding="utf-8"))
    keys = {key for shape in schema["$defs"].values() for key in shape.get("properties", {})}
    assert len(keys) > 40
    assert keys - spoken((DOCS / "record.md").read_text(encoding="utf-8")) == set()


def test_every_type_of_the_journal_is_named() -> None:
    told = set(re.findall(r"`([a-z-]+)`", (inspect.getdoc(journal) or "").partition("\n")[2]))
    assert "run-finished" in told
    assert told - spoken((DOCS / "record.md").read_text(encoding="utf-8")) == set()

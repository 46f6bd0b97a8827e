"""The page of probes names every kind, each of its settings and each of its methods."""

from __future__ import annotations

import re

import pytest
from pytest_runbook import probes
from pytest_runbook.probes._fetch import HttpSettings
from pytest_runbook.probes.base import Probe, ProbeSettings

from tests.docs.pages import DOCS, spoken

OWN = {"kind", "remote", "Settings", "target", "address", "explained", "close"}
"""What every probe has, and no check calls."""


def section(kind: str) -> str:
    page = (DOCS / "probes.md").read_text(encoding="utf-8")
    return page.partition(f"\n## {kind}\n")[2].partition("\n## ")[0]


def words(text: str) -> set[str]:
    """Names in the backticks of TEXT: of `get(path)` it is `get`."""
    return {match[0] for one in spoken(text) if (match := re.match(r"\w+", one))}


@pytest.mark.parametrize("kind", probes.names())
def test_every_method_is_named(kind: str) -> None:
    public = {name for name in vars(probes.find(kind)) if not name.startswith("_")} - OWN
    assert public
    assert public - words(section(kind).partition("| method |")[2]) == set()


@pytest.mark.parametrize("kind", probes.names())
def test_every_setting_is_named(kind: str) -> None:
    settings = probes.find(kind).Settings
    inherited = HttpSettings if kind in ("metrics", "prometheus") else ProbeSettings
    before, _, _ = section(kind).partition("| method |")
    assert set(settings.model_fields) - set(inherited.model_fields) - words(before) == set()


@pytest.mark.parametrize("kind", probes.names())
def test_no_method_is_named_that_is_not_there(kind: str) -> None:
    rows = re.findall(r"^\| (`\w+\(.*?) \|", section(kind), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)\(", row)}
    probe = probes.find(kind)
    assert named
    assert {name for name in named if not hasattr(probe, name)} == set()
    assert issubclass(probe, Probe)

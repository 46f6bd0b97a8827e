"""Reads every collected item as a check and stops the run when a name is wrong, naming all that are."""

from __future__ import annotations

import inspect
import re
import unittest
from collections.abc import Iterable, Sequence
from functools import cache

import pytest

from pytest_runbook.concurrency.runner import CHECK
from pytest_runbook.errors import unknown
from pytest_runbook.evidence.redaction import Redactor
from pytest_runbook.marks import Known, marks_of, read
from pytest_runbook.model import Check


def read_items(items: Sequence[pytest.Item], known: Known, redactor: Redactor) -> list[str]:
    """Make each of ITEMS that is a function the check that it is; what is wrong with them, a line or two each."""
    faults: list[str] = []
    seen: dict[str, Check] = {}
    for item in items:
        if not isinstance(item, pytest.Function):
            continue
        if redactor.text(item.nodeid) != item.nodeid:
            faults.append(
                f"{redactor.text(item.nodeid)}: a parameter holds a secret\n  hint: name the parameters by ids="
            )
            continue
        reading = read(item, known, item.path.parent.name)
        faults += reading.faults + _own_faults(item, reading.check, seen)
        item.stash[CHECK] = seen.setdefault(reading.check.id, reading.check)
        if not reading.faults:
            for mark in marks_of(reading.check):
                if mark in known.schedules or mark in known.services or mark.upper() in known.severities:
                    item.add_marker(_mark(mark))
    return faults


def is_check(made: object, collector: pytest.Collector) -> bool:
    """Whether MADE is a function that the module of COLLECTOR itself marks as a check."""
    module = collector.getparent(pytest.Module)
    if module is None or not inspect.isfunction(made) or made.__module__ != module.obj.__name__:
        return False
    return any(mark.name == "check" for mark in getattr(made, "pytestmark", ()))


@cache
def _mark(name: str) -> pytest.MarkDecorator:
    mark: pytest.MarkDecorator = getattr(pytest.mark, name)
    return mark


def _own_faults(item: pytest.Function, check: Check, seen: dict[str, Check]) -> list[str]:
    faults = []
    other = seen.get(check.id)
    if other is not None:
        faults.append(f'{check.location}: id "{check.id}" is taken by {other.location}\n  hint: rename one, or set id=')
    if isinstance(item.cls, type) and issubclass(item.cls, unittest.TestCase):
        faults.append(
            f"{check.location}: a unittest.TestCase gives no result\n  hint: make it a plain class or function"
        )
    if check.schedules and item.get_closest_marker("xfail"):
        faults.append(
            f"{check.location}: xfail on a check hides a failure for ever\n"
            "  hint: use a waiver in the settings, with owner, reason and expiry"
        )
    return faults


def unknown_marks(expression: str, registered: Iterable[str]) -> list[str]:
    """A sentence for each name in the mark EXPRESSION of `-m` that no mark has: it could select nothing, for ever."""
    names = {re.split(r"[:(]", line, maxsplit=1)[0].strip() for line in registered}
    bare = re.sub(r"\([^()]*=[^()]*\)|\"[^\"]*\"|'[^']*'", "", expression)
    used = set(re.findall(r"[A-Za-z_][\w.-]*", bare)) - {"and", "or", "not", "True", "False"}
    ours = sorted(name for name in names if not name.startswith("allure"))
    return [unknown("mark in -m", name, ours) for name in sorted(used - names)]

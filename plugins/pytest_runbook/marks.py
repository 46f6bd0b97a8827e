"""The `check` decorator, and how a collected test becomes a `Check` with plain marks that `-m` understands."""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from pytest_runbook.errors import unknown
from pytest_runbook.model import Check, Severity

if TYPE_CHECKING:
    import pytest

F = TypeVar("F", bound=Callable[..., Any])

MARKS = {
    "check(schedules, *, severity='P2', runbook=None, service=None, id=None, timeout=None, needs='', apart=False, "
    "unmeasured='P1')": (
        "what must be true of the system: when it is verified, how bad a failure is, which runbook makes it true"
    ),
    "p1": "severity P1: critical",
    "p2": "severity P2: major",
    "p3": "severity P3: minor",
    "service(name)": "the service that the check looks at, when it is not the check's folder",
    "runbook(id)": "the runbook that makes the check true",
}
"""Every mark that the engine itself knows, with its line for `pytest --markers`; schedules and services come on top."""

OPTIONS = ("severity", "runbook", "service", "id", "timeout", "needs", "apart", "unmeasured")


def check(
    schedules: str | Iterable[str],
    *,
    severity: str = "P2",
    runbook: str | None = None,
    service: str | None = None,
    id: str | None = None,  # noqa: A002 - the word that a check's author reads in every report
    timeout: float | None = None,
    needs: str | Iterable[str] = (),
    apart: bool = False,
    unmeasured: str = "P1",
) -> Callable[[F], F]:
    """Mark a test as a check.

    SCHEDULES and NEEDS are names separated by spaces, or lists of them. SEVERITY is P1, P2 or P3. RUNBOOK is the name of a
    file in remediation/. SERVICE defaults to the check's folder, ID to `service/subject::name`. TIMEOUT is in seconds.
    NEEDS names services beyond the own one and its dependencies. A check that stands APART sees what it looks at also when
    its service is down. UNMEASURED is the severity with which a check that could not look gates. Names are verified at
    collection, all at once.
    """
    import pytest  # late: the process of each step imports this module too, and marks nothing

    given = {
        "severity": severity,
        "runbook": runbook,
        "service": service,
        "id": id,
        "timeout": timeout,
        "needs": needs,
        "apart": apart or None,
        "unmeasured": unmeasured,
    }
    mark = pytest.mark.check(schedules, **{key: value for key, value in given.items() if value not in (None, ())})

    def decorate(function: F) -> F:
        marked: F = mark(function)
        return marked

    return decorate


@dataclass(frozen=True)
class Known:
    """The names that a check may use."""

    schedules: Mapping[str, str]
    services: Iterable[str]
    runbooks: Iterable[str]
    severities: Iterable[str] = tuple(Severity)


@dataclass
class Reading:
    """A collected test as a check, with what is wrong with it."""

    check: Check
    faults: list[str] = field(default_factory=list)


def read(item: pytest.Item, known: Known, folder: str) -> Reading:
    """The check that ITEM is; FOLDER is the service its place suggests."""
    options, schedules = _options(item, known)
    faults = [unknown("option of check", name, OPTIONS) for name in options if name not in OPTIONS]
    service = str(options.get("service") or folder)
    subject = item.path.stem
    name = item.name.removeprefix("test_")
    function = getattr(item, "function", None)
    text = inspect.getdoc(function) or ""
    timeout = options.get("timeout")
    found = Check(
        id=str(options.get("id") or f"{service}/{subject}::{name}"),
        title=text.partition("\n")[0].strip() or name.replace("_", " "),
        severity=str(options.get("severity", "P2")),
        service=service,
        schedules=schedules,
        subject=subject,
        runbook=options.get("runbook"),
        needs=_names(options.get("needs", ())),
        apart=bool(options.get("apart", False)),
        description=text,
        location=f"{item.location[0]}:{(item.location[1] or 0) + 1}",
        nodeid=item.nodeid,
        timeout=float(timeout) if isinstance(timeout, int | float) else None,
        unmeasured=str(options.get("unmeasured", "P1")),
    )
    faults += _faults(found, known, timeout)
    if schedules and function is not None and not asserts(function):
        faults.append("asserts nothing outside of a loop\n  hint: a loop over nothing passes; assert on what was found")
    return Reading(found, [f"{found.location}: {fault}" for fault in faults])


def marks_of(found: Check) -> list[str]:
    """Names of the plain marks that FOUND gets, so that `-m "daily and p1 and web"` works."""
    return [*found.schedules, found.severity.lower(), found.service]


def _options(item: pytest.Item, known: Known) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What the marks of ITEM say: the nearest `check` first, plain marks for the rest."""
    marks = list(item.iter_markers())
    nearest = {mark.name: mark for mark in reversed(marks)}
    mark = nearest.get("check")
    options: dict[str, Any] = dict(mark.kwargs) if mark else {}
    given = [*(mark.args if mark else ()), *([options.pop("schedules")] if "schedules" in options else ())]
    schedules = [name for argument in given for name in _names(argument)]
    schedules += [m.name for m in marks if m.name in known.schedules]
    for severity in known.severities:
        if severity.lower() in nearest:
            options.setdefault("severity", severity)
    for name in ("service", "runbook"):
        plain = nearest.get(name)
        if plain and plain.args:
            options.setdefault(name, plain.args[0])
    return options, tuple(dict.fromkeys(schedules))


def _names(value: str | Iterable[str]) -> tuple[str, ...]:
    return tuple(value.split()) if isinstance(value, str) else tuple(value)


def _faults(found: Check, known: Known, timeout: object) -> list[str]:
    faults = [unknown("schedule", name, known.schedules) for name in found.schedules if name not in known.schedules]
    named = [("severity", found.severity, known.severities), ("severity", found.unmeasured, known.severities)]
    if found.schedules:
        named += [("service", name, known.services) for name in (found.service, *found.needs)]
    if found.runbook is not None:
        named.append(("runbook", found.runbook, known.runbooks))
    faults += [unknown(what, name, names) for what, name, names in named if name not in names]
    if timeout is not None and (not isinstance(timeout, int | float) or isinstance(timeout, bool) or timeout <= 0):
        faults.append(f'timeout "{timeout}" is not a number of seconds above 0')
    return faults


@functools.cache
def asserts(function: Callable[..., Any]) -> bool:
    """Whether FUNCTION can fail: an assert, `pytest.fail` or `pytest.raises` that is not inside a loop."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, SyntaxError):  # no source to read: made at run time
        return True
    return _can_fail(tree)


def _can_fail(node: ast.AST) -> bool:
    if isinstance(node, ast.Assert):
        return True
    if isinstance(node, ast.Call) and ast.unparse(node.func) in ("pytest.fail", "pytest.raises"):
        return True
    children = [
        child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.For | ast.AsyncFor | ast.While)
    ]
    return any(_can_fail(child) for child in children)

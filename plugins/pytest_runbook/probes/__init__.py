"""Finds the kinds of probes: a class with `kind = "NAME"` that a module of this folder holds, or an entry point of that name."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, cast

from pytest_runbook import finding
from pytest_runbook.errors import UsageError, unknown

if TYPE_CHECKING:
    from pytest_runbook.probes.base import Probe

GROUP = "pytest_runbook.probes"
"""Entry points that add kinds: `name = "module:Class"`, the name is the kind."""


def kinds() -> dict[str, type[Probe[Any]]]:
    """Kind to class, all of them."""
    return {kind: find(kind) for kind in names()}


def names() -> list[str]:
    """Every kind that the settings may name; imports none of them."""
    return sorted(_places())


@cache
def find(kind: str) -> type[Probe[Any]]:
    """The class of KIND; UsageError when there is none, or when its module cannot be imported."""
    place = _places().get(kind)
    if place is None:
        raise UsageError(unknown("kind of probe", kind, names()))
    return cast("type[Probe[Any]]", finding.load("probe", kind, place, _base))


@cache
def _places() -> dict[str, str]:
    return finding.places(__name__, __path__, GROUP)


def _base() -> type:
    from pytest_runbook.probes.base import Probe  # late: the base needs pydantic, naming the kinds does not

    return Probe

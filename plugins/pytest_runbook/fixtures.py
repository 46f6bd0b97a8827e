"""The fixtures of a run: a probe for each `[probes.NAME]` of the settings, and the values that checks judge by."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import ModuleType
from typing import Any

import pytest


def fixtures(values: Mapping[str, Any], probes: Iterable[str], probe: Callable[[str], Any]) -> object:
    """A plugin object with a fixture for each of VALUES and each name of PROBES, made by PROBE(name).

    Registered last, so that `host` is the probe that keeps evidence and not the fixture of pytest-testinfra.
    """
    members = {name: _fixture(name, partial(values.__getitem__, name)) for name in values}
    members |= {name: _fixture(name, partial(probe, name)) for name in probes}
    module = ModuleType("runbook_fixtures", "Fixtures of the probes and values of this run.")
    vars(module).update(members)
    return module


def _fixture(name: str, get: Callable[[], Any]) -> Any:
    def provide() -> Any:
        return get()

    provide.__doc__ = f"`{name}` as the settings of this run declare it."
    return pytest.fixture(scope="session", name=name)(provide)

"""`pytest --lab`: the same checks, pointed at the lab, which is started when it is not running."""

from __future__ import annotations

import os

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """The one option that belongs to this repository and not to the engine."""
    parser.getgroup("runbook").addoption(
        "--lab",
        action="store_true",
        help="check the lab in var/lab, started if it is not running (stop: python -m lab down)",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Put the lab's addresses into the environment, before the engine reads its settings."""
    if config.getoption("--lab") and not hasattr(config, "workerinput"):
        from lab import Lab

        lab = Lab(config.rootpath / "var" / "lab")
        lab.up(progress=lambda line: print(f"lab: {line}", flush=True))
        os.environ.update(lab.environment())

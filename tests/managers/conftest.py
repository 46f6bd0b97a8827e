"""One bench for each kind of manager, started when its first test asks for it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.managers import engine as engines
from tests.managers.bench import SECRET, Bench
from tests.managers.supervisord import PASSWORD, supervisord
from tests.managers.systemd import systemd

KINDS = ("supervisor", "systemd", "docker", "docker compose", "docker-compose")


@pytest.fixture(scope="session")
def engine() -> Iterator[engines.Engine]:
    """A Docker engine."""
    with engines.engine() as there:
        yield there


@pytest.fixture(scope="session", params=KINDS)
def started(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """The bench of one kind."""
    with ExitStack() as stack:
        folder = stack.enter_context(short_folder())
        if request.param == "supervisor":
            yield stack.enter_context(supervisord(folder))
        elif request.param == "systemd":
            yield stack.enter_context(systemd(folder))
        else:
            there = request.getfixturevalue("engine")
            client = tuple(request.param.split())
            made = engines.docker(there, folder) if client == ("docker",) else engines.compose(there, folder, client)
            yield stack.enter_context(made)


@pytest.fixture
def bench(started: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """The bench with nothing running on it; what a test does on it shows no secret in the list of processes."""
    monkeypatch.setenv("VERSION", "0.0.1")  # an earlier one, as in a shell that has read the file of variables
    started.reset()
    started.run.lines.clear()
    yield started
    assert not [line for line in started.run.lines if SECRET in line or PASSWORD in line]


@contextmanager
def short_folder() -> Iterator[Path]:
    """A folder whose path leaves room for a socket's."""
    folder = Path(tempfile.mkdtemp(prefix="runbook-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)

"""100 facts of a host (files, sockets, processes): plain pytest-testinfra against checks that keep them as evidence."""

from __future__ import annotations

from pathlib import Path

from bench.projects import ACTIVE, PLAIN, write
from bench.timing import Row, in_turn, pytest_command, ratio_of_pairs

PLAIN_SUITE = """
import pytest

@pytest.mark.parametrize("n", range(50))
def test_file(n, host):
    assert host.file("/etc/passwd").mode == 0o644

@pytest.mark.parametrize("n", range(25))
def test_socket(n, host):
    assert not host.socket(f"tcp://127.0.0.1:{n + 1}").is_listening

@pytest.mark.parametrize("n", range(25))
def test_process(n, host):
    assert host.process.filter(pid=1)
"""
CHECKS = PLAIN_SUITE.replace("import pytest\n", "import pytest\nfrom pytest_runbook import check\n").replace(
    "@pytest.mark", '@check("daily")\n@pytest.mark'
)


def run(folder: Path) -> list[Row]:
    """The figures, measured in FOLDER."""
    settings = '[system]\nname = "bench"\n[services.host]\n[probes.host]\nkind = "host"\nuri = "local://"\n'
    write(
        folder,
        {
            "pytest.ini": ACTIVE,
            "settings.toml": settings,
            "checks/plain/facts.py": PLAIN_SUITE,
            "checks/host/facts.py": CHECKS,
        },
    )
    costs = in_turn(
        {
            "engine": pytest_command("checks/host", "--report=report"),
            "plain": pytest_command(*PLAIN, "checks/plain", "--hosts=local://"),
        },
        folder,
        runs=5,
    )
    return [
        Row("100 host facts: checks with evidence and reports / plain testinfra", ratio_of_pairs(*costs.values()), " x")
    ]

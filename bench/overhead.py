"""A trivial suite with the engine and without: what starting costs, and what each check costs with the journal on.

The targets are for the engine with its journal and record; what all reports cost on top is shown beside them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.projects import ACTIVE, PLAIN, write
from bench.timing import Cost, Row, in_turn, median_of_pairs, pytest_command

CHECKS = 2000
SUITE = "import pytest\n\n@pytest.mark.parametrize('n', range({checks}))\ndef test_trivial(n):\n    assert n >= 0\n"


QUIET = ("--report=report", "--set", "report.formats=[]")
"""Options for the journal and the record, and no further report."""


def run(folder: Path) -> list[Row]:
    """The figures, measured in FOLDER."""
    write(
        folder,
        {
            "pytest.ini": ACTIVE,
            "settings.toml": '[system]\nname = "bench"\n[services.one]\n[services.many]\n',
            "checks/one/trivial.py": SUITE.format(checks=1),
            "checks/many/trivial.py": SUITE.format(checks=CHECKS),
        },
    )
    costs = in_turn(
        {
            "one, engine": pytest_command("checks/one", *QUIET),
            "one, plain": pytest_command(*PLAIN, "checks/one"),
            "one, reports": pytest_command("checks/one", "--report=report"),
            "many, engine": pytest_command("checks/many", *QUIET),
            "many, plain": pytest_command(*PLAIN, "checks/many"),
            "many, reports": pytest_command("checks/many", "--report=report"),
        },
        folder,
        runs=7,
    )
    start, each = _added(costs, "engine")
    start_reports, each_reports = _added(costs, "reports")
    return [
        Row("start-up, engine - plain pytest", start, " s", 0.25),
        Row("each check with the journal on, engine - plain", each, " ms", 0.3),
        Row("start-up with all reports, engine - plain", start_reports, " s"),
        Row("each check with the journal and all reports on, engine - plain", each_reports, " ms"),
    ]


def _added(costs: Mapping[str, Sequence[Cost]], what: str) -> tuple[float, float]:
    """Seconds that WHAT adds to plain pytest's start, and milliseconds to each check."""
    start = median_of_pairs(costs[f"one, {what}"], costs["one, plain"])
    return start, (median_of_pairs(costs[f"many, {what}"], costs["many, plain"]) - start) / (CHECKS - 1) * 1000

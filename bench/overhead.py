"""A trivial suite with the engine and without: what starting costs, and what each check costs with the journal on."""

from __future__ import annotations

from pathlib import Path

from bench.projects import ACTIVE, PLAIN, write
from bench.timing import Row, in_turn, median_of_pairs, pytest_command

CHECKS = 2000
SUITE = "import pytest\n\n@pytest.mark.parametrize('n', range({checks}))\ndef test_trivial(n):\n    assert n >= 0\n"


def run(folder: Path) -> list[Row]:
    """The figures, measured in FOLDER."""
    write(
        folder,
        {
            "pytest.ini": ACTIVE,
            "settings.toml": '[system]\nname = "bench"\n[services.one]\n[services.many]\n',
            "one/trivial.py": SUITE.format(checks=1),
            "many/trivial.py": SUITE.format(checks=CHECKS),
        },
    )
    costs = in_turn(
        {
            "one, engine": pytest_command("one", "--report=report"),
            "one, plain": pytest_command(*PLAIN, "one"),
            "many, engine": pytest_command("many", "--report=report"),
            "many, plain": pytest_command(*PLAIN, "many"),
        },
        folder,
        runs=7,
    )
    start = median_of_pairs(costs["one, engine"], costs["one, plain"])
    each = (median_of_pairs(costs["many, engine"], costs["many, plain"]) - start) / (CHECKS - 1) * 1000
    return [
        Row("start-up, engine - plain pytest", start, " s", 0.25),
        Row("each check with the journal and all reports on, engine - plain", each, " ms", 0.3),
    ]

"""Times whole processes in turn, A B A B …, so that a drift of the machine's speed falls on both sides of a ratio."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Cost:
    """What one run of a command took."""

    wall: float
    """Seconds."""
    memory: float
    """Peak resident set, bytes."""
    code: int


@dataclass(frozen=True)
class Row:
    """A measured figure beside the target that it has to keep."""

    name: str
    value: float
    unit: str
    target: float | None = None

    @property
    def kept(self) -> bool:
        """Whether the figure is within its target."""
        return self.target is None or self.value <= self.target

    def __str__(self) -> str:
        verdict = (
            "" if self.target is None else f"  target <= {self.target:g}{self.unit}  {'ok' if self.kept else 'MISSED'}"
        )
        return f"  {self.name:<62} {self.value:8.3g}{self.unit}{verdict}"


def once(command: Sequence[str], folder: Path, env: Mapping[str, str] | None = None) -> Cost:
    """Run COMMAND in FOLDER to its end; its own peak memory, not that of its children."""
    # Without its cached bytecode Python would compile everything at each start, and that would be what is measured.
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    begun = time.perf_counter()
    with (folder / "output.txt").open("w") as output:
        child = subprocess.Popen(
            command, cwd=folder, env=inherited | dict(env or {}), stdout=output, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return Cost(time.perf_counter() - begun, usage.ru_maxrss * 1024, child.returncode)


def in_turn(commands: Mapping[str, Sequence[str]], folder: Path, runs: int) -> dict[str, list[Cost]]:
    """Costs of each of COMMANDS over RUNS rounds, after one round that is not counted; stops when one fails."""
    costs: dict[str, list[Cost]] = {name: [] for name in commands}
    for number in range(runs + 1):
        for name, command in commands.items():
            cost = once(command, folder)
            if cost.code != 0:
                raise SystemExit(
                    f"bench: {name} ended with {cost.code}:\n{(folder / 'output.txt').read_text()[-3000:]}"
                )
            if number:
                costs[name].append(cost)
    return costs


def median_wall(costs: Sequence[Cost]) -> float:
    """Median of the wall times, seconds."""
    return statistics.median(cost.wall for cost in costs)


def median_of_pairs(left: Sequence[Cost], right: Sequence[Cost]) -> float:
    """Median of the differences left - right, round by round, seconds."""
    return statistics.median(a.wall - b.wall for a, b in zip(left, right, strict=True))


def ratio_of_pairs(left: Sequence[Cost], right: Sequence[Cost]) -> float:
    """Median of the ratios left / right, round by round."""
    return statistics.median(a.wall / b.wall for a, b in zip(left, right, strict=True))


def pytest_command(*arguments: str) -> list[str]:
    """A command that runs pytest with this interpreter, without plugins that only the lab brings."""
    return [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:randomly",
        "-p",
        "no:valkey",
        *arguments,
    ]

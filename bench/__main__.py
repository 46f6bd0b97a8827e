"""Runs the benches named on the command line, or all: prints each figure beside its target, exits 1 when one is missed."""

from __future__ import annotations

import importlib
import pkgutil
import sys
import tempfile
from pathlib import Path

import bench


def main(names: list[str]) -> int:
    """Run NAMES, or every module of this folder that has `run`."""
    found = {
        name: importlib.import_module(f"bench.{name}")
        for _, name, _ in pkgutil.iter_modules(bench.__path__)
        if name != "__main__"
    }
    benches = {name: module for name, module in found.items() if hasattr(module, "run")}
    unknown = [name for name in names if name not in benches]
    if unknown:
        print(f'unknown bench "{unknown[0]}" (known: {", ".join(benches)})', file=sys.stderr)
        return 4
    missed = 0
    for name in names or benches:
        print(f"{name}: {(benches[name].__doc__ or '').splitlines()[0]}", flush=True)
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            for row in benches[name].run(Path(folder)):
                print(row, flush=True)
                missed += not row.kept
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

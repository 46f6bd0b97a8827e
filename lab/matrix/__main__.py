"""`python -m lab.matrix [FAULT…]`: inject faults, one after another on each of several labs, and write the matrix.

Without names all of them, then healthy rounds. docs/fault-matrix.md and docs/fault-matrix.json are written; what was not
measured keeps its row.
Exit code 0: all as expected · 1: something was not · 4: a name that no fault has.
"""

from __future__ import annotations

import argparse
import queue
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self, TypeVar

from pytest_runbook.errors import unknown

from lab import Lab, faults
from lab.matrix.measure import Row, healthy, measure
from lab.matrix.tables import figures, read, write
from lab.rounds import ROOT

T = TypeVar("T")


class Ward:
    """Labs that work through tasks side by side, each one task at a time."""

    def __init__(self, folder: Path, beds: int) -> None:
        self._folder = folder
        self._labs = [Lab(folder / f"lab-{number}") for number in range(beds)]
        self._free: queue.Queue[Lab] = queue.Queue()
        self._healed: dict[Lab, float] = {}
        self._numbers = iter(range(1_000_000))
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        for lab in self._labs:
            lab.up()
            self._healed[lab] = time.monotonic()
            self._free.put(lab)
        return self

    def __exit__(self, *_: object) -> None:
        for lab in self._labs:
            lab.down(purge=True)

    def each(self, task: Callable[[Lab, T, Path], object], things: Sequence[T]) -> None:
        """TASK for each of THINGS, with a free lab and a folder of its own."""
        with ThreadPoolExecutor(len(self._labs)) as pool:
            try:
                for done in [pool.submit(self._with_lab, task, thing) for thing in things]:
                    done.result()
            finally:
                pool.shutdown(cancel_futures=True)

    def heal(self, lab: Lab) -> None:
        """LAB was made whole just now."""
        self._healed[lab] = time.monotonic()

    def healed(self, lab: Lab) -> float:
        """When LAB was made whole."""
        return self._healed[lab]

    def _with_lab(self, task: Callable[[Lab, T, Path], object], thing: T) -> None:
        with self._lock:
            folder = self._folder / f"run-{next(self._numbers)}"
        folder.mkdir()
        lab = self._free.get()
        try:
            task(lab, thing, folder)
        finally:
            self._free.put(lab)
            shutil.rmtree(folder, ignore_errors=True)


def main(arguments: Sequence[str]) -> int:
    """Measure what ARGUMENTS name."""
    parser = argparse.ArgumentParser(prog="python -m lab.matrix", description=__doc__.partition("\n")[0])
    parser.add_argument("faults", nargs="*", metavar="FAULT", help="only these; the other rows of the page stay")
    parser.add_argument("--rounds", type=int, help="healthy rounds (default: 200, none when faults are named)")
    parser.add_argument("--no-faults", action="store_true", help="only healthy rounds; the rows of the page stay")
    parser.add_argument("--labs", type=int, default=2, help="labs at work side by side (default: 2)")
    parser.add_argument("--into", type=Path, default=ROOT / "docs", help="folder of the page (default: docs)")
    option = parser.parse_args(arguments)
    known = faults.load()
    for name in option.faults:
        if name not in known:
            print(unknown("fault", name, known, "python -m lab faults says what each one is"), file=sys.stderr)
            return 4
    names = [] if option.no_faults else option.faults or list(known)
    rounds = option.rounds if option.rounds is not None else (0 if option.faults else 200)
    rows: dict[str, Row] = {}
    alarms: list[str] = []

    def one(lab: Lab, name: str, folder: Path) -> None:
        row = rows[name] = measure(lab, name, folder, ward.healed(lab))
        ward.heal(lab)
        took = "" if row.seconds_to_recover is None else f" after {row.seconds_to_recover:.1f} s"
        print(f"{len(rows):3}/{len(names)} {name}: {row.outcome}{took}", flush=True)
        if row.mismatch:
            print(f"        NOT AS EXPECTED: {row.mismatch}", flush=True)

    def well(lab: Lab, number: int, folder: Path) -> None:
        found = healthy(lab, folder, ward.healed(lab))
        alarms.extend(found)
        for alarm in found:
            print(f"healthy round {number}: FALSE ALARM {alarm}", flush=True)

    # However it is stopped, no lab is left running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="faults-") as folder, Ward(Path(folder), option.labs) as ward:
        ward.each(one, names)
        ward.each(well, range(1, rounds + 1))
    before, earlier, cried = read(option.into)
    kept = before | rows
    page = [kept[name] for name in known if name in kept]
    counted = (rounds, len(alarms)) if rounds else (earlier, cried)
    print(*figures(page, *counted), sep="\n")
    print(*(f"written: {path}" for path in write(option.into, page, *counted)), sep="\n")
    return int(bool(alarms) or any(row.mismatch for row in rows.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""`python -m lab.knownbad`: break backups of the lab in every way there is, and write what was told of each.

Exit status 0 when every bad one was caught and the good ones passed, 1 when not. `--out FILE` names another page.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path

from pytest_runbook.backup.verdict import REASONS

from lab import Lab, backup
from lab.knownbad.cases import Case, cases
from lab.knownbad.trying import Seen, Trial

ROOT = Path(__file__).parents[2]
PLACE = ROOT / "var" / "knownbad"
PAGE = ROOT / "docs" / "known-bad-backups.md"
GOOD = (
    Case("good", "nothing is wrong", (), lambda bad: None),
    Case("touched", "nothing is wrong, and every file has a fresh time", (), lambda bad: _touch(bad.folder)),
)


def main(arguments: list[str] | None = None) -> int:
    """Try all of them on a lab of its own."""
    parser = argparse.ArgumentParser(prog="python -m lab.knownbad", description="Break backups, and see who notices.")
    parser.add_argument("--out", type=Path, default=PAGE, help="the page to write (default: %(default)s)")
    page: Path = parser.parse_args(arguments).out
    lab = Lab(PLACE / "lab")
    lab.down(purge=True)
    shutil.rmtree(PLACE / "bad", ignore_errors=True)
    (PLACE / "bad").mkdir(parents=True)
    try:
        lab.up(progress=lambda line: print(f"lab: {line}", flush=True))
        good = backup.newest(lab.site)  # the first of this lab: no earlier one has files of it
        trial = Trial(ROOT, ROOT / "nightscan.toml", lab.environment(), good, PLACE / "bad", backup.OFF_SITE)
        begun = time.monotonic()
        with trial.workshop() as workshop:
            fine = [_told(trial.run(case, workshop)) for case in GOOD]
            seen = [_told(trial.run(case, workshop)) for case in cases()]
    finally:
        lab.down(purge=True)
    page.write_text(text(seen, fine, time.monotonic() - begun), encoding="utf-8")
    passed = all(not one.verify and one.verdict == "proven" for one in fine)
    caught = sum(one.caught for one in seen)
    print(f"\n{caught} of {len(seen)} bad backups caught; good ones {'pass' if passed else 'do not pass'}: {page}")
    return 0 if passed and caught == len(seen) else 1


def _touch(folder: Path) -> None:
    for path in folder.rglob("*"):
        path.touch()


def _told(seen: Seen) -> Seen:
    print(
        f"{seen.case.name:<16} read back: {', '.join(seen.verify) or 'good'}; drill: {', '.join(seen.drill) or seen.verdict}"
    )
    return seen


def text(seen: list[Seen], fine: list[Seen], seconds: float) -> str:
    """The page."""
    caught, alone = sum(one.caught for one in seen), sum(one.case.verifies for one in seen)
    lines = [
        "# Known-bad backups",
        "",
        "<!-- Written by `python -m lab.knownbad`; do not edit. -->",
        "",
        "Backups of the lab, each broken in its own way, and what was told of it: by reading it back (`runbook backup --verify`)",
        "and by restoring it where nobody uses it (`runbook drill`). Where the manifest fits, sizes and checksums show nothing:",
        "whoever broke it wrote the manifest anew.",
        "",
        f"**{caught} of {len(seen)} were caught, each with the right reason; "
        f"{sum(not one.verify and one.verdict == 'proven' for one in fine)} of {len(fine)} good ones pass** ({seconds:.0f} s).",
        "",
        "| what is wrong | reading back says | the drill says | caught |",
        "| --- | --- | --- | --- |",
        *(_row(one) for one in seen),
        *(_row(one) for one in fine),
        "",
        f"{alone} of them are found by restoring alone: the dump is whole, and is not of what the manifest says.",
        "",
        "## The reasons",
        "",
        "| reason | means |",
        "| --- | --- |",
        *(f"| `{reason}` | {meaning} |" for reason, meaning in REASONS.items()),
        "",
    ]
    return "\n".join(lines)


def _row(one: Seen) -> str:
    said = ["`, `".join(reasons) for reasons in (one.verify, one.drill)]
    shown = [f"`{reasons}`" if reasons else "good" for reasons in said]
    good = not one.case.reasons
    return (
        f"| {one.case.title} | {shown[0]} | {shown[1]} | {'is good' if good else 'yes' if one.caught else '**no**'} |"
    )


if __name__ == "__main__":
    sys.exit(main())

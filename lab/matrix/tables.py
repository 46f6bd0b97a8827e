"""The matrix as JSON for machines and as a page for people."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median

from pytest_runbook.runbooks.loading import load
from pytest_runbook.runbooks.steps import Stage

from lab.matrix.measure import PERSON, Row
from lab.rounds import ROOT


def write(folder: Path, rows: Sequence[Row], rounds: int, false_alarms: int) -> list[Path]:
    """Write fault-matrix.json and fault-matrix.md into FOLDER."""
    data = {
        "faults": [{key: value for key, value in asdict(row).items() if value or key != "mismatch"} for row in rows],
        "healthy_rounds": rounds,
        "false_alarms": false_alarms,
    }
    machine, page = folder / "fault-matrix.json", folder / "fault-matrix.md"
    machine.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n")
    page.write_text("\n".join(_page(rows, rounds, false_alarms)) + "\n")
    return [machine, page]


def read(folder: Path) -> tuple[dict[str, Row], int, int]:
    """Rows by fault, healthy rounds and false alarms of the fault-matrix.json in FOLDER; none when there is none."""
    path = folder / "fault-matrix.json"
    if not path.is_file():
        return {}, 0, 0
    data = json.loads(path.read_text())
    return {row["id"]: Row(**row) for row in data["faults"]}, data["healthy_rounds"], data["false_alarms"]


def figures(rows: Sequence[Row], rounds: int, false_alarms: int) -> Iterator[str]:
    """What the matrix amounts to, a sentence each."""
    seen = [row for row in rows if row.outcome != "undetected"]
    exact = [row for row in rows if not row.mismatch]
    tried = [row for row in seen if row.outcome in ("remediated", "still-failing")]
    mended = [row for row in seen if row.outcome == "remediated"]
    people = [row for row in seen if row.outcome == PERSON]
    mendable = [row for row in seen if row.runbook and _mends(row.runbook)]
    yield f"{len(seen)} of {len(rows)} faults were detected by a check that was expected to see them."
    yield f"{len(exact)} of {len(rows)} struck exactly the expected checks, with the expected root and outcome."
    yield (
        f"{len(mended)} of the {len(tried)} faults that a runbook acted on were mended and verified by the same checks;"
        f" {len(people)} were left to a person, with the reason."
    )
    yield (
        f"The runbooks of {len(mendable)} faults have steps that mend: {len(mended)} of these were mended, and for the"
        " others no step applied, or none was allowed, as is told below."
    )
    yield f"{false_alarms} false alarms in {rounds} healthy rounds."
    if detected := [row.seconds_to_detect for row in seen if row.seconds_to_detect is not None]:
        yield f"Seconds from injection to detection: median {median(detected):.1f}, worst {max(detected):.1f}."
    if recovered := [row.seconds_to_recover for row in mended if row.seconds_to_recover is not None]:
        yield f"Seconds from injection to verified recovery: median {median(recovered):.1f}, worst {max(recovered):.1f}."


def _mends(runbook: str) -> bool:
    """Whether RUNBOOK has a step that does more than look."""
    return any(step.stage != Stage.DIAGNOSE for step in load(ROOT / "remediation", runbook).steps)


def _page(rows: Sequence[Row], rounds: int, false_alarms: int) -> Iterator[str]:
    yield "# The fault matrix"
    yield ""
    yield (
        "Every fault of the lab, injected one after another; after each, all checks ran with"
        " `--remediate=apply --max-risk=restart`. Written by `./run faults`"
        f" on {platform.system()} with Python {platform.python_version()}; seconds depend on the machine."
    )
    yield ""
    for sentence in figures(rows, rounds, false_alarms):
        yield f"- {sentence}"
    yield ""
    yield "| fault | root | severity | runbook | outcome | detected after | recovered after |"
    yield "|---|---|---|---|---|---:|---:|"
    for row in rows:
        cells = (row.id, row.root, row.severity, row.runbook, row.outcome)
        times = (row.seconds_to_detect, row.seconds_to_recover)
        yield f"| {' | '.join([str(cell or '-') for cell in cells] + [_seconds(value) for value in times])} |"
    others = [row for row in rows if row.outcome != "remediated" or row.mismatch]
    if others:
        yield ""
        yield "## What was not mended, and why"
        yield ""
        for row in others:
            yield f"- **{row.id}**: {_safe(row.reason or row.mismatch)}"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"


def _safe(text: str) -> str:
    """TEXT as one line of Markdown that renders as it reads."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")

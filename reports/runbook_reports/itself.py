"""The run as one more case, for readers that know only tests: green checks of a run that is not green must not pass for one."""

from __future__ import annotations

from pytest_runbook.model import Check, Outcome, Result, RunRecord, Severity

from runbook_reports.story import Story

CHECK = Check("run::is_whole", "The run is whole, and judged what it was asked for", Severity.P1.value, "run", ())
"""What the case is of; no service of a system is called so."""


def results(record: RunRecord) -> list[Result]:
    """What became of the checks of RECORD, and of the run itself where it is not green for another reason than they."""
    story = Story(record)
    beside = record.reasons or (record.exit_code and not record.gating)
    if not (beside or story.verdict in ("UNFINISHED", "INTERRUPTED")):
        return record.results
    said = "; ".join((story.remark or f"beside what fails: {'; '.join(record.reasons)}", *record.problems))
    itself = Result(CHECK, Outcome.UNMEASURED.value, f"{story.verdict}: {said}", record.started)
    itself.sections = [("problems of the run", "\n".join(record.problems))] if record.problems else []
    return [*record.results, itself]

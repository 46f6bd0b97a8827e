"""Judges a run of the checks against the one before the change: as good, worse, or not to be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from pytest_runbook.measure import quantity
from pytest_runbook.model import Outcome, Result, RunRecord

if TYPE_CHECKING:
    from pytest_runbook.settings.deploy import Relative

Verdict = Literal["done", "failed", "inconclusive"]
JUDGED = (0, 1)
"""Exit codes of a run that came to a judgement: green, or a check failed."""
SHOWN = 4
"""Reasons that a sentence names."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What came of a phase, or of a look."""

    outcome: Verdict
    said: str


@dataclass(slots=True)
class _Findings:
    worse: list[str] = field(default_factory=list)
    """What is worse than before."""
    old: list[str] = field(default_factory=list)
    """What was so before."""
    unclear: list[str] = field(default_factory=list)
    """What nobody could look at."""


def baseline(record: RunRecord) -> dict[str, Any]:
    """What is kept of the run RECORD before the change: checks that fail already, and figures."""
    return {
        "run": record.id,
        "failing": {result.check.id: result.message for result in record.gating},
        "figures": {seen.name: seen.value for result in record.results for seen in result.measurements},
    }


def judge(
    record: RunRecord, before: Mapping[str, Any] | None, compare: Mapping[str, Relative], *, back: bool = False
) -> Judgement:
    """RECORD against what was BEFORE (None: nothing is known), with COMPARE: a failure counts when it is new.

    One that was there before is no reason to go back, and none to go on: it leaves the answer open, as does a check that
    could not look. Of the version BACK to which one went it is all that can be asked for.
    """
    if record.exit_code not in JUDGED:
        return Judgement("inconclusive", f"the checks ended with status {record.exit_code}: {_words(record.problems)}")
    known = (before or {}).get("failing", {})
    found = _Findings()
    for result in record.gating:
        _sort(found, result, record, known)
    known_figures, now = (before or {}).get("figures", {}), figures(record)
    found.unclear += [
        f"{name} was measured before and is not now" for name in compare if name in known_figures.keys() - now
    ]
    found.worse += worse(now, known_figures, _units(record), compare)
    if found.worse:
        return Judgement("failed", _words(found.worse))
    open_ = found.unclear if back else [*found.unclear, *found.old]
    if open_:
        return Judgement("inconclusive", _words(open_))
    if record.exit_code and not record.gating:
        return Judgement("inconclusive", f"the run itself failed: {_words(record.problems)}")
    as_before = f", {len(found.old)} fail as before" if found.old else ""
    return Judgement("done", f"{len(record.of(Outcome.PASSED))} checks passed{as_before}")


def figures(record: RunRecord) -> dict[str, float]:
    """Every measurement of RECORD by name."""
    return {seen.name: seen.value for result in record.results for seen in result.measurements}


def worse(
    now: Mapping[str, float], before: Mapping[str, float], units: Mapping[str, str], compare: Mapping[str, Relative]
) -> list[str]:
    """The figures of NOW that are worse than BEFORE by more than COMPARE allows, in words."""
    found = []
    for name, limit in compare.items():
        if name not in now or name not in before:
            continue
        value, was = now[name], before[name]
        most = max(was * limit.ratio, limit.floor)
        bad = value > most if limit.ratio >= 1 else value < was * limit.ratio
        if bad:
            shown = [quantity(figure, units.get(name, "")) for figure in (value, was)]
            found.append(f"{name} is {shown[0]}, before it was {shown[1]}")
    return found


def _units(record: RunRecord) -> dict[str, str]:
    return {seen.name: seen.unit for result in record.results for seen in result.measurements}


def _sort(found: _Findings, result: Result, record: RunRecord, known: Mapping[str, str]) -> None:
    """Put the gating RESULT where it belongs; one that another explains is told by that one, when that gates as well."""
    root = next((one for one in record.results if one.check.id == result.root), None)
    if root is not None and root in record.gating:
        return
    words = f"{result.check.id}: {result.message}"
    if (root or result).outcome == Outcome.UNMEASURED:
        found.unclear.append(f"{words} (could not look)")
    elif result.check.id in known:
        found.old.append(f"{words} (it failed before the change as well)")
    else:
        found.worse.append(words)


def _words(reasons: list[str]) -> str:
    shown = "; ".join(reason.partition("\n")[0] for reason in reasons[:SHOWN]) or "nothing was said"
    return shown + (f"; and {len(reasons) - SHOWN} more" if len(reasons) > SHOWN else "")

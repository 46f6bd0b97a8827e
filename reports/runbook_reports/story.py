"""Tells a run's story once for terminal, page and mail: the verdict, what failed and why, what is merely not green."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

from pytest_runbook import clock
from pytest_runbook.model import Measurement, Outcome, Result, RunRecord, Severity, StepOutcome

from runbook_reports import remedy
from runbook_reports.wording import against_limit, count, one_line

ORDER = (
    Outcome.FAILED,
    Outcome.STILL_FAILING,
    Outcome.TIMED_OUT,
    Outcome.UNMEASURED,
    Outcome.BLOCKED,
    Outcome.REMEDIATED,
    Outcome.WAIVED,
    Outcome.SKIPPED,
    Outcome.PASSED,
)
"""Outcomes as a person at night wants them: what is broken first, what is fine last."""


@dataclass(frozen=True)
class Cause:
    """One thing that is wrong, and the checks that only show the same thing again."""

    id: str
    """Id of the check at the root."""
    result: Result | None
    """Its result, whatever became of it; None when it is not part of this run."""
    blocked: tuple[Result, ...]
    severity: Severity
    """The worst of the root and those it blocks."""

    @property
    def bad(self) -> tuple[Result, ...]:
        """The results that are not green for this cause: those blocked, and the root unless it is waived, say."""
        return (self.result, *self.blocked) if self.result and self.result.bad else self.blocked

    @property
    def unmeasured(self) -> bool:
        """Whether the root could not be seen, which is not the same as seen to be wrong."""
        return self.result is not None and self.result.outcome == Outcome.UNMEASURED

    @property
    def message(self) -> str:
        """What was seen, in one line."""
        if self.result is None:
            return "not part of this run, named as the cause of checks that are"
        seen = what_was_seen(self.result)
        return seen if self.result.bad else f"{self.result.outcome}: {seen}"

    @property
    def unsaid(self) -> list[Measurement]:
        """Values beyond their limits that the message does not tell."""
        missed = [m for m in self.result.measurements if m.ok is False] if self.result else []
        return [m for m in missed if not any(told in self.message for told in (against_limit(m), f"{m.name} is "))]

    @property
    def by_service(self) -> Counter[str]:
        """How many checks of each service are blocked."""
        return by_service(self.blocked)

    @property
    def face(self) -> tuple[object, ...]:
        """All that is told of it but the parameters of its check, as `[db-1]`; one that blocks others has a face of its own."""
        if self.result is None or self.blocked:
            return (self.id,)
        one, measured = self.result, tuple(map(against_limit, self.unsaid))
        told = (one.outcome, one.hint, one.recurred, one.check.title, one.check.runbook, remedy.case(one))
        return (self.id.partition("[")[0], self.severity, self.message, measured, *told)


def alike(causes: Iterable[Cause]) -> list[list[Cause]]:
    """CAUSES by their face, each in the order given: a hundred targets of one check that say the same are told once."""
    found: dict[tuple[object, ...], list[Cause]] = {}
    for cause in causes:
        found.setdefault(cause.face, []).append(cause)
    return list(found.values())


def by_service(results: Iterable[Result]) -> Counter[str]:
    """How many of RESULTS each service has."""
    return Counter(result.check.service for result in results)


def what_was_seen(result: Result) -> str:
    """RESULT's message in one line; for a bare failed comparison the measurements beside their limits say more."""
    missed = "; ".join(against_limit(m) for m in result.measurements if m.ok is False)
    message = one_line(result.message)
    if missed and (not message or message.lower().startswith(("assert ", "assertionerror"))):
        return missed
    return message or missed or result.outcome


@dataclass(frozen=True)
class Story:
    """A record as its readers want it; computed once per report."""

    record: RunRecord

    @cached_property
    def causes(self) -> list[Cause]:
        """Everything wrong, grouped by root cause, worst first; every bad result is in exactly one group."""
        every = {r.check.id: r for r in self.record.results}
        bad = {name: r for name, r in every.items() if r.bad}
        groups: dict[str, list[Result]] = {
            r.check.id: [] for r in bad.values() if r.outcome != Outcome.BLOCKED or not r.root
        }
        for result in bad.values():
            if result.check.id not in groups:
                groups.setdefault(_root_of(result, bad), []).append(result)
        causes = [_cause(name, every.get(name), blocked) for name, blocked in groups.items()]
        return sorted(causes, key=lambda c: (c.severity, c.unmeasured, -len(c.blocked), c.id))

    @property
    def failing(self) -> list[Cause]:
        """Causes that were seen to be wrong."""
        return [cause for cause in self.causes if not cause.unmeasured]

    @property
    def unmeasured(self) -> list[Cause]:
        """Causes that nobody could see: not known to be wrong, not known to be right."""
        return [cause for cause in self.causes if cause.unmeasured]

    @cached_property
    def mended(self) -> list[list[Result]]:
        """What failed and passes again, by the run of a runbook that fixed it, worst first."""
        # What a runbook was run for comes before what only waited for it.
        return remedy.cases(sorted(self.record.of(Outcome.REMEDIATED), key=lambda result: not result.steps))

    @cached_property
    def _steps_told(self) -> dict[tuple[str, ...], str]:
        told: dict[tuple[str, ...], str] = {}
        for cause in self.causes:
            if cause.result and cause.result.steps:
                told.setdefault(remedy.case(cause.result), cause.id)
        return told

    def steps_told_at(self, cause: Cause) -> str:
        """Id of an earlier cause for which the same steps ran; empty where CAUSE has to tell of its own."""
        first = self._steps_told.get(remedy.case(cause.result), cause.id) if cause.result else cause.id
        return "" if first == cause.id else first

    @property
    def planned(self) -> int:
        """How many steps would run, if they were let."""
        plans = remedy.cases(result for result in self.record.results if result.steps)
        return sum(step.outcome == StepOutcome.WOULD_RUN for plan in plans for step in plan[0].steps)

    @cached_property
    def counts(self) -> Counter[str]:
        """Number of results per outcome."""
        return Counter(result.outcome for result in self.record.results)

    @cached_property
    def by_service(self) -> dict[str, Counter[str]]:
        """Number of results per outcome of each service; services in the order of the settings."""
        table: dict[str, Counter[str]] = defaultdict(Counter)
        for name in self.record.services:
            table[name] = Counter()
        for result in self.record.results:
            table[result.check.service][result.outcome] += 1
        return {name: outcomes for name, outcomes in table.items() if outcomes}

    @property
    def outcomes(self) -> list[str]:
        """Outcomes that occurred, in reading order."""
        return [outcome.value for outcome in ORDER if self.counts[outcome]]

    @cached_property
    def severity(self) -> Severity | None:
        """The worst severity among the results that gate."""
        return min((result.severity for result in self.record.gating), default=None)

    @property
    def verdict(self) -> str:
        """One or two words: `PASSED`, `REMEDIATED`, `FAILED P1`, `INTERRUPTED`, `UNFINISHED`, `NOTHING CHECKED`, `ERROR`."""
        record = self.record
        if record.finished is None:
            return "UNFINISHED"
        if record.interrupted:
            return "INTERRUPTED"
        if self.severity:
            return f"FAILED {self.severity}"
        if set(self.counts) <= {Outcome.SKIPPED}:
            return "NOTHING CHECKED"
        if self.mended and record.exit_code in (0, 1):
            return "REMEDIATED"
        return "PASSED" if not record.exit_code else "ERROR"

    @property
    def remark(self) -> str:
        """What a verdict other than passed or failed means, in one sentence."""
        ended = self.record.exit_code
        fixed = "what failed was fixed and passes again; why it failed is still to be found"
        why = "; ".join(self.record.reasons) or "see its problems"
        words = {
            "REMEDIATED": f"{fixed}; the run is not green all the same: {why}" if ended else fixed,
            "UNFINISHED": "the run did not end; below is what was done before",
            "INTERRUPTED": "the run was interrupted; below is what was done before",
            "NOTHING CHECKED": "no check was selected, or none ran: that is not green",
            "ERROR": f"no check that was judged is bad, and still the run ended with {ended}: {why}",
        }
        return words.get(self.verdict, "")

    @property
    def green(self) -> bool:
        """Whether the verdict lets people sleep."""
        return self.verdict == "PASSED"

    @property
    def title(self) -> str:
        """What ran where: `NightScan production · daily`."""
        record = self.record
        return " · ".join(filter(None, (one_line(f"{record.system} {record.environment}"), one_line(record.selection))))

    @property
    def tally(self) -> str:
        """Number of checks and how long they took: `141 checks in 4.2 s`."""
        return f"{count(len(self.record.results), 'check')} in {clock.duration(self.record.duration)}"

    def line(self) -> str:
        """The run in one line that a person can paste into a chat."""
        parts = [self.title, self.verdict]
        if self.causes:
            parts.append(headline(self.causes[0]))
        elif self.mended:
            parts.append(good_news(self.mended[0][0]))
        others = Counter(cause.severity for cause in self.causes[1:])
        parts.extend(f"+{others[severity]} {severity}" for severity in Severity if others[severity])
        if remediated := self.counts[Outcome.REMEDIATED]:
            parts.append(f"{remediated} remediated")
        if self.planned:
            parts.append(f"{count(self.planned, 'step')} would run")
        if waived := self.counts[Outcome.WAIVED]:
            parts.append(f"{waived} waived")
        return " · ".join((*parts, self.tally, f"run {self.record.id}"))


def headline(cause: Cause, limit: int = 120) -> str:
    """CAUSE in one phrase: its check, what was seen, whether it was fixed lately, how many checks it blocks."""
    remarks = ["recurred"] if cause.result and cause.result.recurred else []
    remarks += [f"blocks {len(cause.blocked)}"] if cause.blocked else []
    blocks = f" ({', '.join(remarks)})" if remarks else ""
    if cause.unmeasured:
        return f"{cause.id} could not be measured: {one_line(cause.message, limit)}{blocks}"
    return f"{cause.id}: {one_line(cause.message, limit)}{blocks}"


def good_news(result: Result) -> str:
    """The remediated RESULT in one phrase: its check, and what fixed it."""
    fixed = remedy.fixed_by(result)
    said = f"fixed by {fixed}" if fixed else remedy.upshot(result) or "passes again"
    return f"{one_line(result.check.id)}: {said}"


def _root_of(result: Result, bad: dict[str, Result]) -> str:
    """Id of the check at the end of RESULT's chain of roots; a chain that bites its tail ends where it began."""
    seen, name = {result.check.id}, result.root or ""
    while name in bad and bad[name].outcome == Outcome.BLOCKED and bad[name].root and name not in seen:
        seen.add(name)
        name = bad[name].root or ""
    return name


def _cause(name: str, result: Result | None, blocked: Iterable[Result]) -> Cause:
    ordered = tuple(sorted((r for r in blocked if r.check.id != name), key=lambda r: (r.severity, r.check.id)))
    cause = Cause(one_line(name), result, ordered, Severity.P3)
    return replace(cause, severity=min(r.severity for r in cause.bad))

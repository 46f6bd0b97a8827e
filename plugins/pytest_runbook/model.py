"""The words of the project as plain data: checks, outcomes, measurements, evidence, and the record of a run.

Imports neither pytest nor I/O: journal, reports, history and notification all read these shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from functools import cache
from operator import attrgetter
from typing import Any, Self

SCHEMA = 1
"""Version of the journal's and the run record's shape; raised when a reader of the old one would be wrong."""


class Severity(StrEnum):
    """How bad a failure is: P1 critical, P2 major, P3 minor. `P1 < P2`: the worst sorts first."""

    P1 = "P1"
    P2 = "P2"
    P3 = "P3"

    @property
    def promoted(self) -> Severity:
        """The next worse one; P1 has none."""
        return Severity.P2 if self is Severity.P3 else Severity.P1


class Outcome(StrEnum):
    """What became of a check."""

    PASSED = "passed"
    FAILED = "failed"
    UNMEASURED = "unmeasured"
    BLOCKED = "blocked-by"
    WAIVED = "waived"
    SKIPPED = "skipped"
    TIMED_OUT = "timed-out"
    REMEDIATED = "remediated"
    STILL_FAILING = "still-failing"

    @property
    def bad(self) -> bool:
        """Whether this outcome can gate."""
        return self in BAD


BAD = frozenset({Outcome.FAILED, Outcome.UNMEASURED, Outcome.BLOCKED, Outcome.TIMED_OUT, Outcome.STILL_FAILING})
"""Outcomes that can gate."""


class Risk(StrEnum):
    """What a step of a runbook can do to the system, mildest first."""

    OBSERVE = "observe"
    """Looks only."""
    ROUTINE = "routine"
    """Maintenance that users do not notice."""
    RESTART = "restart"
    """Interrupts one service for a moment."""
    DESTRUCTIVE = "destructive"
    """Takes away what cannot be had back, or interrupts more than one service."""
    ISOLATE = "isolate"
    """Cuts something off: an address, a service, the whole system."""

    @property
    def level(self) -> int:
        """0 for the mildest; risks are compared by it, their names are words."""
        return list(Risk).index(self)


class StepOutcome(StrEnum):
    """What became of a step."""

    DONE = "done"
    """It ran to its end; whether it helped is for the check to say."""
    FAILED = "failed"
    TIMED_OUT = "timed-out"
    NOT_NEEDED = "not-needed"
    """What it mends is not broken."""
    WOULD_RUN = "would-run"
    REFUSED = "refused"
    """A guard did not let it run; `why` says which."""
    UNKNOWN = "unknown"
    """The run was killed while it ran."""

    @property
    def acted(self) -> bool:
        """Whether the step may have changed something."""
        return self in (StepOutcome.DONE, StepOutcome.FAILED, StepOutcome.TIMED_OUT, StepOutcome.UNKNOWN)


SCHEDULES: Mapping[str, str] = {
    "predeploy": "what must be true before a deployment",
    "postdeploy": "what must be true right after a deployment",
    "daily": "what is verified every night",
    "weekly": "what is verified every week",
    "monthly": "what is verified every month",
    "drill": "what a person verifies in a disaster-recovery drill",
}

AVAILABILITY = "availability"
"""The subject (file name) whose checks say whether a service is up; see `diagnosis`."""


class Record:
    """Base of the dataclasses below: they travel as JSON objects."""

    def to_json(self) -> dict[str, Any]:
        """This object and those inside it as JSON-safe values."""
        return {name: _plain(getattr(self, name)) for name in _names(type(self))}  # type: ignore[arg-type]

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The object that `to_json` wrote; keys of a later minor version are ignored."""
        known = _names(cls)  # type: ignore[arg-type]
        return cls(**{key: value for key, value in data.items() if key in known})


@cache
def _names(kind: Any) -> tuple[str, ...]:
    """Names of the fields of the dataclass KIND."""
    return tuple(f.name for f in fields(kind))


@cache
def _getter(kind: Any) -> tuple[tuple[str, ...], Callable[[object], tuple[Any, ...]]]:
    """Names of the fields of KIND, and what gives their values all at once."""
    return _names(kind), attrgetter(*_names(kind))


def _plain(value: Any) -> Any:
    """VALUE as JSON-safe values; a third of the time of `dataclasses.asdict`, which copies every leaf."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Record):
        return value.to_json()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, Iterable):
        return [_plain(item) for item in value]
    return str(value)


def members(value: Any) -> Any:
    """The members of a Record, with what is inside them as it is: for `json.dumps(…, default=members)`."""
    if isinstance(value, Record):
        names, get = _getter(type(value))  # type: ignore[arg-type]
        return dict(zip(names, get(value), strict=True))
    return str(value)


@dataclass(frozen=True, slots=True)
class Check(Record):
    """What must be true: the static part of a check."""

    id: str
    """Stable name in history, for example `web/availability::health_endpoint_answers`."""
    title: str
    """First line of the docstring, for people."""
    severity: str
    service: str
    schedules: tuple[str, ...]
    subject: str = ""
    """File of the check without its ending: `availability`, `performance`, …"""
    runbook: str | None = None
    needs: tuple[str, ...] = ()
    """Services beyond its own that the check depends on."""
    apart: bool = False
    """Whether it looks at something that does not need its service: that this is down does not explain it."""
    description: str = ""
    """Whole docstring."""
    location: str = ""
    """`path:line` below the root folder."""
    nodeid: str = ""
    timeout: float | None = None
    """Seconds."""
    unmeasured: str = "P1"
    """Severity with which `unmeasured` gates."""


@dataclass(slots=True)
class Measurement(Record):
    """A named value beside its limit."""

    name: str
    value: float
    unit: str = ""
    limit: float | None = None
    comparison: str = ""
    """How value and limit were compared: `<`, `<=`, `>`, `>=`, `==`, `!=`; empty when they were not."""
    ok: bool | None = None
    """None when the value was recorded and not compared."""


@dataclass(slots=True)
class Observation(Record):
    """One call of a probe: the evidence."""

    probe: str
    target: str
    operation: str
    started: str
    """UTC, ISO 8601."""
    duration: float
    """Seconds."""
    ok: bool
    """Whether an answer came; its content is judged by the check."""
    answer: Any = None
    """JSON-safe summary of the answer, redacted, capped."""
    error: str | None = None
    shared: bool = False
    """Made once for several checks of the run."""


@dataclass(slots=True)
class Attempt(Record):
    """One try of a check."""

    outcome: str
    message: str
    started: str
    duration: float
    number: int = 1


@dataclass(slots=True)
class Waiver(Record):
    """Why a failure is accepted for a time: a person's waiver or a maintenance window."""

    kind: str
    """`waiver` or `maintenance`."""
    owner: str
    reason: str
    expires: str


@dataclass(slots=True)
class Step(Record):
    """One step of a runbook that ran for a failing check, or would have."""

    runbook: str
    name: str
    """Name of its function."""
    title: str
    """First line of its docstring, for people."""
    stage: str
    """`diagnose`, `correct`, `last-resort`, or `undo` when it was taken back."""
    risk: str
    outcome: str
    why: str = ""
    """What the outcome needs to be understood."""
    started: str = ""
    """UTC, ISO 8601; empty when it did not run."""
    duration: float = 0.0
    """Seconds."""
    target: str = ""
    """The service acted on."""
    actions: list[str] = field(default_factory=list)
    """Exactly what it does, a line each, redacted."""
    output: str = ""
    """What it said, redacted, capped."""


@dataclass(slots=True)
class Result(Record):
    """What became of one check in one run."""

    check: Check
    outcome: str
    message: str = ""
    """One line: what was seen."""
    started: str = ""
    duration: float = 0.0
    """Seconds of the check itself, all attempts; waiting for other checks not counted."""
    attempts: list[Attempt] = field(default_factory=list)
    measurements: list[Measurement] = field(default_factory=list)
    evidence: list[Observation] = field(default_factory=list)
    traceback: str = ""
    sections: list[tuple[str, str]] = field(default_factory=list)
    """Captured output and log, redacted: (title, text)."""
    root: str | None = None
    """Id of the check that explains this one, when blocked."""
    waiver: Waiver | None = None
    steps: list[Step] = field(default_factory=list)
    """Steps of the runbook that ran for this check, in order."""
    remediation: str = ""
    """What came of its runbook, in a sentence: why nothing was done, by which step it was fixed, why it still fails."""
    recurred: str = ""
    """When it fails again soon after it was fixed: which fix, and when; it gates one severity higher."""
    hint: str = ""
    """One line: what to do about it, where the error says so."""

    @property
    def bad(self) -> bool:
        """Whether the outcome can gate."""
        return self.outcome in BAD

    @property
    def severity(self) -> Severity:
        """The severity with which this outcome gates."""
        return self.first_severity.promoted if self.recurred else self.first_severity

    @property
    def first_severity(self) -> Severity:
        """The severity with which this outcome gates where it has not recurred."""
        unmeasured = self.outcome == Outcome.UNMEASURED
        return Severity(self.check.unmeasured if unmeasured else self.check.severity)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The result that `to_json` wrote."""
        known = {f.name for f in fields(cls)}
        kept = {key: value for key, value in data.items() if key in known}
        check = dict(kept["check"])
        check["schedules"], check["needs"] = tuple(check["schedules"]), tuple(check.get("needs", ()))
        kept["check"] = Check.from_json(check)
        for key, kind in (
            ("attempts", Attempt),
            ("measurements", Measurement),
            ("evidence", Observation),
            ("steps", Step),
        ):
            kept[key] = [kind.from_json(item) for item in kept.get(key, ())]
        kept["waiver"] = Waiver.from_json(kept["waiver"]) if kept.get("waiver") else None
        kept["sections"] = [(title, text) for title, text in kept.get("sections", ())]
        return cls(**kept)


@dataclass(slots=True)
class RunRecord(Record):
    """One pytest session: all that reports need."""

    id: str
    """UTC time and a random part, sortable: `20261122T180305Z-4f1c`."""
    system: str
    environment: str
    started: str
    selection: str = ""
    """What was asked for: the `-m` and `-k` expressions, or the files named."""
    gate: str = Severity.P2.value
    host: str = ""
    user: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    """Name to version: python, pytest, pytest-runbook, and what the run says of the system served."""
    services: dict[str, list[str]] = field(default_factory=dict)
    """Service to the services it depends on."""
    results: list[Result] = field(default_factory=list)
    runbooks: dict[str, str] = field(default_factory=dict)
    """Runbook id to its text or address, for the runbooks that failing checks name."""
    remediation: str = "off"
    """How far the run could go when checks failed: `off`, `plan`, or the mode and the riskiest kind of step."""
    problems: list[str] = field(default_factory=list)
    """What went wrong with the run itself: a mail not sent, a report not written, a waiver that expired."""
    reasons: list[str] = field(default_factory=list)
    """Why the run is not green beside what gates: `--strict: 2 checks had to be fixed`."""
    finished: str | None = None
    """None: the run did not end (killed), itself an incident."""
    duration: float = 0.0
    exit_code: int | None = None
    interrupted: bool = False
    schema: int = SCHEMA

    def of(self, *outcomes: Outcome) -> list[Result]:
        """Results with one of OUTCOMES, worst severity first."""
        return sorted((r for r in self.results if r.outcome in outcomes), key=lambda r: (r.severity, r.check.id))

    def roots(self) -> list[tuple[Result, list[Result]]]:
        """Failing checks that nothing else explains, worst first, each with those it blocks."""
        bad = [r for r in self.results if r.bad]
        heads = [r for r in bad if r.outcome != Outcome.BLOCKED]
        groups = [(head, [r for r in bad if r.root == head.check.id]) for head in heads]
        return sorted(groups, key=lambda group: (min(r.severity for r in (group[0], *group[1])), -len(group[1])))

    def lacks(self, problem: str) -> None:
        """Note PROBLEM, for which a part of this record is not on the disk: nobody can look it up, so it is not green."""
        for told, news in ((self.problems, problem), (self.reasons, "the run could not be recorded whole")):
            if news not in told:
                told.append(news)
        self.exit_code = 1 if self.exit_code == 0 else self.exit_code

    @property
    def gating(self) -> list[Result]:
        """Results that make the run fail: bad ones at least as severe as the gate."""
        return [r for r in self.results if r.bad and r.severity <= Severity(self.gate)]

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The record that `to_json` wrote."""
        known = {f.name for f in fields(cls)}
        kept = {key: value for key, value in data.items() if key in known}
        kept["results"] = [Result.from_json(item) for item in kept.get("results", ())]
        return cls(**kept)

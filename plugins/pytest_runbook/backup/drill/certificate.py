"""What a drill has proven, as data: the backup, each phase with its time, each comparison, RTO and RPO against their targets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_runbook import clock
from pytest_runbook.backup.comparing import Proof
from pytest_runbook.backup.verdict import Fault
from pytest_runbook.evidence.redaction import Redactor
from pytest_runbook.model import Record

VERSION = 1
"""Of the shape below."""
NAME = "certificate"
PROVEN, FAILED, UNMEASURED = "proven", "failed", "unmeasured"
"""The verdicts: everything is as it was, and in time; something is not; nobody could look."""


@dataclass(slots=True)
class Phase(Record):
    """One part of a drill or of a restore."""

    name: str
    title: str
    started: str
    seconds: float = 0.0
    outcome: str = "going on"
    """`done`, `failed`, `going on`."""
    restoring: bool = True
    """Whether users wait for it; what only proves something does not count for the RTO."""


@dataclass(frozen=True, slots=True)
class Target(Record):
    """A time that was measured, and the most that it may be; seconds."""

    name: str
    seconds: float
    limit: float
    meaning: str

    @property
    def ok(self) -> bool:
        """Whether it was met."""
        return self.seconds <= self.limit

    def to_json(self) -> dict[str, Any]:
        """The target, and whether it was met."""
        return {**Record.to_json(self), "ok": self.ok}

    def __str__(self) -> str:
        word = "within" if self.ok else "beyond"
        return f"{self.name} {clock.duration(self.seconds)}, {word} its target of {clock.duration(self.limit)}"


@dataclass(slots=True)
class Certificate(Record):
    """One drill."""

    id: str
    system: str
    environment: str
    source: str
    """The destination that the backup was taken from."""
    started: str
    disaster: str
    """The moment up to which data would have been lost."""
    host: str = ""
    user: str = ""
    software: str = ""
    backup: str = ""
    created: str = ""
    """When the backup was made."""
    place: str = ""
    bytes: int = 0
    """Of the backup."""
    finished: str = ""
    seconds: float = 0.0
    phases: list[Phase] = field(default_factory=list)
    proofs: list[Proof] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    rto: Target | None = None
    rpo: Target | None = None
    checks: str = ""
    """What the checks on the restored system said, in a sentence."""
    left_out: list[str] = field(default_factory=list)
    """What was not looked at, and why."""
    trouble: str = ""
    """Why the drill could not go on."""
    version: int = VERSION

    @property
    def verdict(self) -> str:
        """PROVEN, FAILED or UNMEASURED."""
        if self.differs or any(target and not target.ok for target in (self.rto, self.rpo)):
            return FAILED
        compared = any(proof.ok is not None for proof in self.proofs)
        return PROVEN if compared and self.rto and not self.trouble else UNMEASURED

    @property
    def differs(self) -> bool:
        """Whether something is not as it was: a proof that failed is enough, also where nobody made it a fault."""
        return bool(self.faults) or any(proof.ok is False for proof in self.proofs)

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        if self.verdict == PROVEN:
            return f"{self.system} can be restored from {self.source}"
        if self.verdict == UNMEASURED:
            return f"nobody knows whether {self.system} can be restored from {self.source}: the drill came to no end"
        if self.differs:
            return f"{self.system} cannot be restored whole from {self.source}"
        return f"{self.system} can be restored from {self.source}, and it takes or costs too much"

    def to_json(self) -> dict[str, Any]:
        """The certificate with its verdict."""
        return {**Record.to_json(self), "verdict": self.verdict, "sentence": self.sentence}

    def note(self) -> dict[str, Any]:
        """What is kept beside the backup, as `restored.json`."""
        return {
            "at": self.finished,
            "drill": self.id,
            "verdict": self.verdict,
            "rto": self.rto and self.rto.seconds,
            "rpo": self.rpo and self.rpo.seconds,
            "reasons": list(dict.fromkeys(fault.reason for fault in self.faults)),
            "by": f"{self.user}@{self.host}",
            "software": self.software,
        }


def write(certificate: Certificate, folder: Path, redactor: Redactor) -> list[Path]:
    """Write the certificate below FOLDER, as HTML for people and as JSON; the files."""
    from runbook_reports.certificate import html  # late: it needs jinja2

    data: Mapping[str, Any] = redactor.value(certificate.to_json())
    folder.mkdir(parents=True, exist_ok=True)
    machine, human = folder / f"{NAME}.json", folder / f"{NAME}.html"
    machine.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    human.write_text(html(data), encoding="utf-8")
    return [human, machine]

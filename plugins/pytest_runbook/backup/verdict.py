"""What reading a backup back has shown: nothing wrong, or faults, each with a reason out of a fixed vocabulary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_runbook.model import Record

REASONS: Mapping[str, str] = {
    "no-manifest": "it did not finish: there is no manifest",
    "unknown-version": "its manifest is of a later software",
    "other-system": "it is of another system or environment",
    "missing": "a file is not there",
    "empty": "a file has no content",
    "truncated": "a file is shorter than it was",
    "corrupt": "a file is not what was written",
    "unexpected": "there is a file that the manifest does not know",
    "wrong-key": "it cannot be decrypted with the keys at hand",
    "not-a-dump": "a dump or snapshot cannot be read by its own program",
    "wrong-database": "the dump is of another database",
    "wrong-instance": "the snapshot is of another Redis server",
    "no-tables": "the dump holds no tables, or not those that the manifest names",
    "no-rows": "the dump holds no rows where there should be some",
    "stale": "it is older than it says, or than it may be",
    "unsafe-path": "an archive has a path that leads out of its folder",
    "schema-newer": "its database is newer than the software",
    "locked": "its place keeps it for a time",
    "unreachable": "its place does not answer, or does not let us in",
    "unverified": "nobody has read it back",
    "not-restored": "what was restored is not what was saved",
}
"""Reason to what it means."""
UNSEEN = frozenset({"no-manifest", "unknown-version", "wrong-key", "unreachable", "unverified"})
"""Those that say that nobody could look: they are no evidence against what was seen before."""
PASSING = frozenset({"unreachable", "unverified"})
"""Those of them that are of the moment, and not of the backup: whoever restores it has not seen that it cannot be restored."""


@dataclass(frozen=True, slots=True)
class Fault(Record):
    """One thing that is wrong with a backup."""

    reason: str
    """A key of REASONS."""
    where: str
    """Name inside the backup: `database/toc.dat`, `files.tar.zst:uploads/a.wav`."""
    message: str

    def __str__(self) -> str:
        return f"{self.reason}: {self.where}: {self.message}" if self.where else f"{self.reason}: {self.message}"


@dataclass(frozen=True, slots=True)
class Verdict(Record):
    """What came of reading a backup back."""

    id: str
    destination: str
    faults: list[Fault] = field(default_factory=list)
    bytes: int = 0
    """Read back, decrypted."""
    seconds: float = 0.0
    looked: dict[str, str] = field(default_factory=dict)
    """What was looked at (`database`, `cache`, `files`) and how; what could not be looked at, and why."""

    @property
    def good(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults

    @property
    def reasons(self) -> list[str]:
        """Reasons of the faults, each once, in order."""
        return list(dict.fromkeys(fault.reason for fault in self.faults))

    @property
    def damage(self) -> list[Fault]:
        """The faults that somebody saw: what nobody could look at is none of them."""
        return [fault for fault in self.faults if fault.reason not in UNSEEN]

    def to_json(self) -> dict[str, Any]:
        """The verdict, and whether it is good."""
        return {**Record.to_json(self), "good": self.good}

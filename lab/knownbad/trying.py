"""Breaks copies of a good backup, and asks both who should see it: reading back, and the drill."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyrage
from pytest_runbook.backup import destinations
from pytest_runbook.backup.destinations import Destination
from pytest_runbook.backup.drill.drill import Drill
from pytest_runbook.backup.manifest import MANIFEST
from pytest_runbook.backup.restore import scratch
from pytest_runbook.backup.verifying import verify
from pytest_runbook.settings import Loaded, load

from lab.knownbad.cases import Case
from lab.knownbad.workshop import Bad, Workshop

PLACE = "damaged"
"""Name of the destination that bad backups lie in."""


@dataclass(frozen=True)
class Seen:
    """What was said of one bad backup."""

    case: Case
    verify: list[str]
    """Reasons that reading back gave; none: it found nothing wrong."""
    drill: list[str]
    """The same of the drill."""
    verdict: str

    @property
    def caught(self) -> bool:
        """Whether it was caught, for the right reason, by whom it should be."""
        wanted = set(self.case.reasons)
        by_reading = not self.verify if self.case.verifies else bool(wanted & set(self.verify))
        return by_reading and bool(wanted & set(self.drill)) and self.verdict == "failed"


@dataclass
class Trial:
    """Tries bad backups of one system; its settings come from FILE with the variables ENVIRON."""

    root: Path
    file: Path
    environ: dict[str, str]
    good: Path
    """The folder of a good backup, whose local copy it is."""
    folder: Path
    """Where bad ones are made."""
    bucket: str = ""
    """Name of the destination that is a bucket."""

    def loaded(self, *overrides: str) -> Loaded:
        """The settings, with a destination for bad backups; no checks and no service: they are not what is tried."""
        place = [f"backup.destinations.{PLACE}.kind=folder", f"backup.destinations.{PLACE}.path={self.folder / 'at'}"]
        quiet = ["drill.checks=", "drill.service.command=[]", f"drill.reports={self.folder / 'drills'}"]
        return load(self.root, file=self.file, environ=self.environ, overrides=[*place, *quiet, *overrides])

    @contextmanager
    def workshop(self) -> Iterator[Workshop]:
        """A server to make other dumps with."""
        own = self.loaded().settings.backup.programs
        assert own.postgresql
        assert own.redis
        with scratch.folder() as home:
            made = Workshop(home, self.good, own.postgresql, own.redis)
            made.open()
            try:
                yield made
            finally:
                made.close()

    def run(self, case: Case, workshop: Workshop) -> Seen:
        """Break a copy as CASE says, and ask."""
        at = self.folder / "at"
        shutil.rmtree(at, ignore_errors=True)
        name = self.good.name
        bad = Bad(at / name, workshop)
        shutil.copytree(self.good, bad.folder)
        for note in bad.folder.glob("*.json"):
            if note.name != MANIFEST:
                note.unlink()
        if case.sealed:
            return self._sealed(case, name)
        if case.bucket:
            return self._in_bucket(case, name)
        case.damage(bad)
        return self._ask(case, self.loaded(), PLACE, name)

    def _ask(self, case: Case, told: Loaded, place: str, name: str) -> Seen:
        destination = destinations.connect(place, told.settings, self.root)
        try:
            verdict = verify(destination, name, note=False)
        finally:
            destination.close()
        paper = Drill(told, self.root, source=place, backup=name).run()
        return Seen(case, verdict.reasons, list(dict.fromkeys(one.reason for one in paper.faults)), paper.verdict)

    def _sealed(self, case: Case, name: str) -> Seen:
        """Encrypt it for one key, and have another one at hand."""
        mine, other = pyrage.x25519.Identity.generate(), pyrage.x25519.Identity.generate()
        key = self.folder / "key.txt"
        key.touch(mode=0o600)
        key.write_text(f"{other}\n")
        sealed = self.folder / "sealed"
        shutil.rmtree(sealed, ignore_errors=True)
        told = self.loaded(
            "backup.destinations.sealed.kind=folder",
            f"backup.destinations.sealed.path={sealed}",
            "backup.destinations.sealed.encrypted=true",
            f"backup.encryption.recipients={mine.to_public()}",
            f"backup.encryption.identity_file={key}",
        )
        self._copy(told, name, "sealed")
        return self._ask(case, told, "sealed", name)

    def _in_bucket(self, case: Case, name: str) -> Seen:
        """Copy it into the bucket under another id, and delete an object there."""
        told = self.loaded(f"backup.destinations.{self.bucket}.prefix=known-bad")
        target = self._copy(told, name, self.bucket)
        gone = max(
            (one for one in target.names(name) if one.startswith("database/")), key=lambda one: target.names(name)[one]
        )
        target._delete([f"{name}/{gone}"])  # type: ignore[attr-defined] # nobody else wants to lose one object
        seen = self._ask(case, told, self.bucket, name)
        target.remove(name)
        target.close()
        return seen

    def _copy(self, told: Loaded, name: str, to: str) -> Destination:
        source = destinations.connect(PLACE, told.settings, self.root)
        target = destinations.connect(to, told.settings, self.root)
        names = [one for one in source.names(name) if one != MANIFEST]
        for one in [*names, MANIFEST]:
            target.write(name, one, Path(source.path(name), one))  # type: ignore[attr-defined]
        return target

"""The drill: from the backup that a disaster would leave, into servers that nobody uses, to a certificate of what was proven."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_runbook import clock
from pytest_runbook.backup import destinations
from pytest_runbook.backup.belonging import newest, passed_over
from pytest_runbook.backup.drill import certificate as papers
from pytest_runbook.backup.drill.certificate import Certificate, Target
from pytest_runbook.backup.drill.proving import Proving
from pytest_runbook.backup.drill.restoring import Restored, ScratchRestore
from pytest_runbook.backup.drill.stopwatch import Stopwatch
from pytest_runbook.backup.manifest import RESTORED, Manifest
from pytest_runbook.backup.restore import scratch
from pytest_runbook.backup.verdict import PASSING, Fault
from pytest_runbook.backup.verifying import software
from pytest_runbook.errors import BackupError, RunbookError, UsageError
from pytest_runbook.evidence.redaction import Redactor
from pytest_runbook.naming import new_id, person

if TYPE_CHECKING:
    from pytest_runbook.backup.destinations import Destination
    from pytest_runbook.settings import Loaded


@dataclass
class Drill:
    """One drill of the system of LOADED, whose project lies in ROOT."""

    loaded: Loaded
    root: Path
    settings_file: Path | None = None
    """None: the one that pytest's configuration names."""
    source: str = ""
    """Name of the destination; empty: that of the settings."""
    backup: str = ""
    """ID; empty: the newest that was finished before the disaster."""
    disaster: datetime | None = None
    """Up to when data would have been lost; None: now."""
    say: Callable[[str], None] = field(default=lambda _: None)
    overrides: tuple[str, ...] = ()
    """`key.path=value` of who asked for it: the checks are told as well, but where the restored system is."""

    def plan(self) -> list[str]:
        """What `run` would do, a line each; looks at the destination only."""
        own = self.loaded.settings.drill
        with self._destination() as destination:
            manifest = destination.manifest(self._chosen(destination))
        parts = [name for name in ("database", "cache", "files") if getattr(manifest, name) is not None]
        where = (
            "the server of drill.server"
            if own.server.get_secret_value()
            else f'servers in "{scratch.place(own.folder)}"'
        )
        return [
            f'take the backup "{manifest.id}" of {manifest.created} from "{destination.name}" ({destination.place})',
            f"restore {', '.join(parts)} ({sum(one.size for one in manifest.stored.values())} bytes) into {where}",
            *([f"start {own.service.command[0]} on it"] if own.service.command else []),
            "compare tables, rows, checksums, sequences, indexes, keys and files with the manifest",
            *([f'run the checks "{own.checks}" on it'] if own.checks else []),
            f"judge the time by {clock.duration(own.rto)}, the loss by {clock.duration(own.rpo)}",
            f'write a certificate below "{own.reports}", and note it beside the backup',
            "remove the servers",
        ]

    def run(self) -> Certificate:
        """The drill; what goes wrong stands in the certificate. UsageError when there is no such destination."""
        started = clock.now()
        settings = self.loaded.settings
        paper = Certificate(
            id=new_id(),
            system=settings.system.name,
            environment=settings.system.environment,
            source=self._source(),
            started=clock.iso(started),
            disaster=clock.iso(self.disaster or started),
            host=socket.gethostname(),
            user=person(),
            software=software(),
        )
        watch = Stopwatch(paper.phases, self.say)
        try:
            with self._destination() as destination:
                self._course(destination, paper, watch)
        except UsageError:
            raise
        except BackupError as error:
            if error.reason and error.reason not in PASSING:
                paper.faults.append(Fault(error.reason, "", _line(error)))
            else:
                paper.trouble = _line(error)
        except (RunbookError, OSError) as error:  # a full disk proves nothing, and has a certificate too
            paper.trouble = _line(error)
        paper.finished, paper.seconds = clock.iso(clock.now()), watch.seconds
        return paper

    def publish(self, paper: Certificate) -> list[Path]:
        """Note it beside the backup, and write the certificate; its files.

        What cannot be written takes nothing from what was proven: it is told, and stands in `left_out`.
        """
        redactor, written = Redactor(self.loaded.secrets), list[Path]()
        if paper.backup and paper.verdict != papers.UNMEASURED:
            with self._telling(paper, f"{RESTORED} beside the backup"), self._destination() as destination:
                destination.note(paper.backup, RESTORED, redactor.value(paper.note()))
        with self._telling(paper, "the certificate"):
            written = papers.write(paper, self.folder(paper), redactor)
        return written

    @contextmanager
    def _telling(self, paper: Certificate, what: str) -> Iterator[None]:
        """Tell that WHAT could not be written, when the block fails to."""
        try:
            yield
        except (RunbookError, OSError) as error:
            paper.left_out.append(f"{what} could not be written: {_line(error)}")
            self.say(paper.left_out[-1])

    def folder(self, paper: Certificate) -> Path:
        """Where the certificate lies."""
        return self.root / self.loaded.settings.drill.reports / paper.id

    def _course(self, destination: Destination, paper: Certificate, watch: Stopwatch) -> None:
        settings, stack = self.loaded.settings, ExitStack()
        with stack:
            with watch.phase("choose", "the backup is chosen"):
                manifest = destination.manifest(self._chosen(destination))
                paper.backup, paper.created, paper.bytes = manifest.id, manifest.created, manifest.size
                paper.place = destination.place
                self._ours(manifest)
            home = stack.enter_context(scratch.folder(settings.drill.folder))
            restore = ScratchRestore(settings, destination, manifest, home, watch, stack)
            restored = restore.run()
            paper.faults += restored.faults
            proving = Proving(settings, manifest, restored, paper, watch)
            proving.parts()
            proving.compare()
            proofs, faults = restore.serve()  # from here on somebody writes into it
            took = watch.waited
            paper.left_out += restored.left_out
            paper.proofs += proofs
            paper.faults += faults
            if not paper.faults:
                folder, variables = self.folder(paper) / "checks", self._variables(restored)
                proving.check(self.root, folder, self.settings_file, variables, elsewhere(self.overrides, variables))
            upto = (
                "the restored system served" if restored.url else "the last part was restored, without a service on it"
            )
            meaning = f"from the beginning of the drill until {upto}, but for the time that comparing took"
            paper.rto = Target("RTO", took, settings.drill.rto, meaning)
            paper.rpo = lost(manifest, proving.newest, clock.parse(paper.disaster), settings.drill.rpo)
            with watch.phase("remove", "what was started is removed", restoring=False):
                stack.close()

    def _ours(self, manifest: Manifest) -> None:
        system = self.loaded.settings.system
        if (manifest.system, manifest.environment) != (system.name, system.environment):
            raise BackupError(
                f'the backup is of "{manifest.system}" in {manifest.environment}, not of "{system.name}" in {system.environment}',
                reason="other-system",
            )

    def _variables(self, restored: Restored) -> dict[str, str]:
        """What tells the checks where the restored system is; by the environment, which shows no password to others."""
        settings, places = self.loaded.settings, restored.places
        found = {}
        for part, key in (("database", "URI"), ("cache", "URI")):
            probe = getattr(settings.backup, part).probe
            if probe and places[part]:
                found[f"RUNBOOK__PROBES__{probe.upper()}__{key}"] = places[part]
        if restored.url and settings.drill.service.probe:
            found[f"RUNBOOK__PROBES__{settings.drill.service.probe.upper()}__URL"] = restored.url
        return found

    def _source(self) -> str:
        settings = self.loaded.settings
        named = self.source or settings.drill.source
        away = [name for name in settings.backup.destinations if name != settings.backup.local]
        return named or next(iter(away), settings.backup.local)

    @contextmanager
    def _destination(self) -> Iterator[Destination]:
        found = destinations.connect(self._source(), self.loaded.settings, self.root)
        try:
            yield found
        finally:
            found.close()

    def _chosen(self, destination: Destination) -> str:
        """The backup that was asked for, or the newest: good or not, that is what a disaster leaves."""
        if self.backup:
            self._insist(destination)
            return self.backup
        for notice in passed_over(destination):
            self.say(notice)
        there = newest(destination, by=self.disaster)
        if not there:
            when = f" of before {clock.iso(self.disaster)}" if self.disaster else ""
            raise BackupError(
                f'"{destination.name}" ({destination.place}) holds no finished backup{when}\n  hint: runbook backup',
                reason="no-manifest",
            )
        return there[-1]

    def _insist(self, destination: Destination) -> None:
        """Raise UsageError when the disaster came before the backup that was asked for: it would have left another one."""
        if self.disaster and clock.parse(when := destination.head(self.backup).finished) > self.disaster:
            moment = clock.iso(self.disaster)
            raise UsageError(
                f'the backup "{self.backup}" was finished at {when}, after the disaster of {moment}\n'
                "  hint: name an earlier one, or none: then it is the newest of before the disaster"
            )


def lost(manifest: Manifest, newest: datetime | None, disaster: datetime, limit: float) -> Target:
    """The RPO of the backup of MANIFEST, in which NEWEST is the time of the newest row, if it names one."""
    begun = f"the beginning of the backup ({manifest.created})"
    if newest is None:
        upto, what = manifest.moment, f"{begun}, which names no times of rows,"
    elif newest > manifest.moment:  # a row of next year saves nothing of this week
        upto, what = manifest.moment, f"{begun}, as its newest row is of a later time ({clock.iso(newest)}),"
    else:
        upto, what = newest, f"the newest row that was restored ({clock.iso(newest)})"
    return Target("RPO", max((disaster - upto).total_seconds(), 0.0), limit, f"from {what} until the disaster")


def elsewhere(overrides: Sequence[str], variables: Mapping[str, str]) -> list[str]:
    """OVERRIDES but those of the probes that VARIABLES, which are weaker, lead to what was restored."""
    led = {name.split("__")[2].lower() for name in variables}
    return [one for one in overrides if not (one.startswith("probes.") and one.split(".")[1].lower() in led)]


def _line(error: Exception) -> str:
    return str(error).strip()

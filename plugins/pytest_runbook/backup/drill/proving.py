"""The part of a drill that only proves: what was restored is compared with what was saved, and checks look at it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_runbook import clock
from pytest_runbook.backup import comparing, contents
from pytest_runbook.backup.comparing import Proof
from pytest_runbook.backup.drill.certificate import Certificate
from pytest_runbook.backup.drill.stopwatch import Stopwatch
from pytest_runbook.backup.restore import tree
from pytest_runbook.backup.verdict import Fault
from pytest_runbook.checkrun import WITHIN, CheckRun
from pytest_runbook.errors import Unmeasured
from pytest_runbook.model import Outcome

if TYPE_CHECKING:
    from pytest_runbook.backup.drill.restoring import Restored
    from pytest_runbook.backup.manifest import Database, Manifest
    from pytest_runbook.backup.postgresql import Server
    from pytest_runbook.settings import Settings

SMALL = 10_000
"""Rows of a table that is always compared whole."""
GOOD = (Outcome.PASSED, Outcome.SKIPPED, Outcome.WAIVED)


@dataclass
class Proving:
    """Compares what was RESTORED with what MANIFEST says, and writes it into PAPER."""

    settings: Settings
    manifest: Manifest
    restored: Restored
    paper: Certificate
    watch: Stopwatch
    newest: datetime | None = None
    """Time of the newest row that was restored."""

    def compare(self) -> None:
        """Everything that was restored, with everything that was saved."""
        with self.watch.phase("compare", "what was restored is compared with what was saved", restoring=False) as phase:
            before = len(self.paper.faults)
            self._database()
            self._cache()
            self._files()
            phase.outcome = "failed" if len(self.paper.faults) > before else phase.outcome

    def parts(self) -> None:
        """What the settings say belongs to a backup, and this one has not, is a fault of it."""
        own = self.settings.backup
        wanted = {"database": own.database.probe, "cache": own.cache.probe, "files": own.files.roots}
        for part, belongs in wanted.items():
            if belongs and getattr(self.manifest, part) is None:
                self.paper.faults.append(Fault("missing", part, "was not backed up"))

    def check(
        self,
        root: Path,
        folder: Path,
        settings: Path | None,
        variables: Mapping[str, str],
        overrides: Sequence[str] = (),
    ) -> None:
        """Run the recovery checks of the project in ROOT on what was restored, told by VARIABLES; reports below FOLDER."""
        expression = self.settings.drill.checks
        if not expression:
            self.paper.left_out.append("no checks looked at what was restored: drill.checks is empty")
            return
        with self.watch.phase("checks", "the recovery checks look at it", restoring=False) as phase:
            told = {**variables, WITHIN: "drill"}
            run = CheckRun(root, folder, self._expression(expression), settings, overrides, told)
            try:
                record = run.record(self.settings.drill.timeout)
            except Unmeasured as error:
                phase.outcome = "failed"
                self.paper.trouble = str(error)
                return
            bad = [one for one in record.results if one.outcome not in GOOD]
            passed = sum(one.outcome == Outcome.PASSED for one in record.results)
            self.paper.checks = f"{passed} of {len(record.results)} recovery checks passed"
            if not bad and (record.exit_code or not passed):
                phase.outcome = "failed"
                why = "; ".join([f"pytest ended with status {record.exit_code}", self.paper.checks, *record.problems])
                self.paper.trouble = f'the checks "{expression}" judged nothing, or not all: {why}'
                return
            self.paper.proofs.append(
                Proof("recovery checks", str(len(record.results)), str(len(record.results) - len(bad)), not bad)
            )
            for one in bad:
                self.paper.faults.append(Fault("not-restored", one.check.id, one.message or one.outcome))
            phase.outcome = "failed" if bad else phase.outcome

    def _expression(self, wanted: str) -> str:
        """WANTED, of the services that are there: nobody restored the others."""
        seen = self.restored
        there = [name for name, held in (("database", seen.database), ("cache", seen.cache)) if held]
        there += [self.settings.drill.service.probe] if seen.url else []
        return f"({wanted}) and ({' or '.join(there)})" if there else wanted

    def _database(self) -> None:
        told, server = self.manifest.database, self.restored.database
        if told is None or server is None:
            self.paper.left_out += ["the backup holds no database"] if told is None else []
            return
        chosen = sample(told, self.settings.drill.checksum_rows)
        with ThreadPoolExecutor(1) as pool:
            trees = pool.submit(self._trees, server, chosen) if self.settings.drill.amcheck else None
            with server.connect() as session, contents.transaction(session):
                rows = self.settings.backup.database.checksum_rows
                seen = contents.look(session, checksum_rows=rows, newest=list(told.newest), only=chosen, told=told)
            found = trees.result() if trees else ([], [])
        given = bool(self.settings.drill.server.get_secret_value())
        proofs, faults = comparing.database(told, seen, self.settings.drill.ignore, roles=not given)
        own = comparing.properties(told, seen.properties) if not given else ([], [])
        self.newest = clock.parse(seen.newest_row) if seen.newest_row else None
        self.paper.proofs += [*proofs, *own[0], *found[0]]
        self.paper.faults += [*faults, *own[1], *found[1]]
        self.paper.left_out += [f"a role is not as it was: {problem}" for problem in self.restored.roles]
        if left := len(told.tables) - len(chosen):
            self.paper.left_out.append(f"rows of {left} tables were counted and not compared: drill.checksum_rows")
        self.paper.left_out += comparing.incomparable(told, seen, chosen)
        self.paper.left_out += [f"{what} are not in the backup" for what in told.unsaved]

    def _trees(self, server: Server, tables: set[str]) -> tuple[list[Proof], list[Fault]]:
        with server.connect() as session:
            return comparing.indexes(session, tables)

    def _cache(self) -> None:
        if self.manifest.cache is None:
            self.paper.left_out.append("the backup holds no cache")
        elif self.restored.cache:
            proofs, faults = comparing.cache(self.manifest.cache, self.restored.cache.keys())
            self.paper.proofs += proofs
            self.paper.faults += faults

    def _files(self) -> None:
        """Each file was compared when it was written: here they are counted, and the folders."""
        folder, told = self.restored.files, self.manifest.files
        if told is None or folder is None:
            self.paper.left_out += ["the backup holds no files"] if told is None else []
            return
        seen = Counter(told[name].folder for name, _, _ in tree.below(folder) if name in told)
        expected = Counter(file.folder for file in told.values())
        for what, kind in (("files, by their checksums", False), ("folders", True)):
            ok = seen[kind] == expected[kind]
            self.paper.proofs.append(Proof(what, str(expected[kind]), str(seen[kind]), ok))
            if not ok and not self.restored.faults:  # those say why
                word = what.partition(",")[0]
                self.paper.faults.append(Fault("missing", "files", f"{seen[kind]} {word} of {expected[kind]}"))


def sample(told: Database, most: int) -> set[str]:
    """Tables of TOLD with about MOST rows together, all with 0: the small ones, and some of the others by chance.

    One of the large ones is always among them: so each has its turn.
    """
    if not most:
        return set(told.tables)
    small = {name for name, table in told.tables.items() if table.rows <= SMALL}
    others = [name for name in told.tables if name not in small]
    random.shuffle(others)
    chosen, rows = set(others[:1]), sum(told.tables[name].rows for name in (*small, *others[:1]))
    for name in others[1:]:
        if rows + told.tables[name].rows <= most:
            chosen.add(name)
            rows += told.tables[name].rows
    return small | chosen

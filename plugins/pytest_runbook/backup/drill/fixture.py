"""The fixture `drill`: one drill in a run, made when the first check asks for it; checks say what must be true of it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_runbook.errors import Unmeasured

if TYPE_CHECKING:
    from pytest_runbook.backup.comparing import Proof
    from pytest_runbook.backup.drill.certificate import Certificate, Phase, Target
    from pytest_runbook.backup.verdict import Fault
    from pytest_runbook.settings import Settings


@dataclass(frozen=True)
class Drilled:
    """What came of the drill, as checks ask for it."""

    certificate: Certificate
    files: list[Path]
    belongs: Collection[str] = ("database", "cache", "files", "service")
    """Which parts the settings name."""

    def faults(self, *parts: str) -> list[str]:
        """What is wrong with those PARTS of the backup (`database`, `cache`, `files`) or with its `service`, all without any.

        Unmeasured when the drill came to no end, or did not come to them: then nobody knows. The check is skipped where the
        settings name none of them.
        """
        paper, wanted = self.certificate, {*parts}
        seen = {*map(_part, paper.faults), *map(_of, paper.proofs)}
        if wanted and not wanted & {*seen, *self.belongs}:
            pytest.skip(f"the settings name no {' and no '.join(parts)} for a drill")
        if paper.trouble:
            raise Unmeasured(f"the drill came to no end: {paper.trouble}")
        found = [str(fault) for fault in paper.faults if not parts or _part(fault) in {*parts, ""}]
        if not found and wanted and not wanted & seen:
            raise Unmeasured(f"the backup holds nothing of {', '.join(parts)}, or the drill did not come to it")
        return found

    def target(self, name: str) -> Target:
        """`rto` or `rpo`; Unmeasured when the drill did not come to it."""
        found: Target | None = getattr(self.certificate, name)
        if found is None or self.certificate.trouble:
            raise Unmeasured(f"the drill came to no end: {self.certificate.trouble or 'nothing was restored'}")
        return found

    @property
    def phases(self) -> list[Phase]:
        """Its phases."""
        return self.certificate.phases


@pytest.fixture(scope="session")
def drill(request: pytest.FixtureRequest) -> Drilled:
    """The drill of this run: the newest backup of `drill.source`, restored where nobody uses it, and compared."""
    from pytest_runbook.backup.drill.drill import Drill
    from pytest_runbook.plugin import SESSION, settings_file

    if not _asked(request.config):
        pytest.skip("a drill restores everything, and is started by name: pytest -m drill")
    session = request.config.stash[SESSION]
    one = Drill(session.loaded, request.config.rootpath, settings_file(request.config))
    paper = one.run()
    return Drilled(paper, one.publish(paper), belonging(session.loaded.settings))


def belonging(settings: Settings) -> list[str]:
    """The parts that SETTINGS name: what belongs to a backup, and a service that is started or looked at."""
    own = settings.backup
    named = {
        "database": own.database.probe,
        "cache": own.cache.probe,
        "files": own.files.roots,
        "service": settings.drill.service.command or settings.drill.checks,
    }
    return [part for part, told in named.items() if told]


def _asked(config: pytest.Config) -> bool:
    """Whether somebody has named the drill: a run of all checks must not restore everything along the way."""
    option = config.option
    return any("drill" in str(word) for word in (option.markexpr, option.keyword, *option.file_or_dir))


def _part(fault: Fault) -> str:
    """The part of the backup that FAULT is about; empty when it is about all of it."""
    place = fault.where.partition(":")[0].partition("/")[0]
    known = {"database": "database", "roles.sql": "database", "cache.rdb": "cache", "cache": "cache"}
    known |= {"files.tar.zst": "files", "files": "files", "": "", "manifest.json": "", "service": "service"}
    return known.get(place, "files" if "/" in fault.where and "::" not in fault.where else "service")


def _of(proof: Proof) -> str:
    """The part of the backup that PROOF is about."""
    if proof.what.startswith("files"):
        return "files"
    if proof.what.startswith("keys"):
        return "cache"
    return "service" if proof.what.startswith(("recovery", "service")) else "database"

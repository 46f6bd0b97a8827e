"""`runbook drill`: restore a backup where nobody uses it, compare it with what was saved, and certify what was proven."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pytest_runbook.cli._changing import heed_endings, tell
from pytest_runbook.cli._options import BadUsage, loaded, project_root, readable, settings_options

if TYPE_CHECKING:
    from pytest_runbook.backup.drill.certificate import Certificate

SHOWN = 20
"""Faults that are told."""


@click.command(
    epilog="""\b
Exit codes:
  0    proven: everything is as it was, within the targets; with --dry-run: shown
  1    not proven: something is not as it was, took too long, or could not be looked at;
       or its certificate could not be written
  2    interrupted
  4    bad settings, no such backup or destination
"""
)
@settings_options
@click.argument("backup", metavar="[BACKUP]", default="")
@click.option(
    "--from", "source", metavar="DESTINATION", default="", help="Where to take it from (default: drill.source)."
)
@click.option(
    "--disaster",
    metavar="TIME",
    default="",
    help="Moment of the disaster, ISO 8601 (default: now): no backup is taken that was finished later.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be done; nothing is restored.")
@click.option("--json", "as_json", is_flag=True, help="The certificate as one JSON object.")
def command(
    file: Path | None, overrides: tuple[str, ...], backup: str, source: str, disaster: str, dry_run: bool, as_json: bool
) -> int:
    """Prove that BACKUP (default: the newest one off-site) can be restored: rows, keys, files, time and loss."""
    from pytest_runbook.backup.drill.certificate import PROVEN
    from pytest_runbook.backup.drill.drill import Drill
    from pytest_runbook.evidence.redaction import Redactor

    found, root = loaded(file, overrides), project_root(file)
    redactor = Redactor(found.secrets)

    def say(line: str) -> None:
        tell(redactor.text(f"drill: {line}"), err=as_json)

    heed_endings("interrupted: what was started is ended")
    drill = Drill(found, root, file.absolute() if file else None, source, backup, _moment(disaster), say, overrides)
    with readable():
        if dry_run:
            tell("\n".join(f"would {redactor.text(line)}" for line in drill.plan()))
            return 0
        paper = drill.run()
        written = drill.publish(paper)
    if as_json:
        tell(json.dumps(redactor.value(paper.to_json()), indent=1, ensure_ascii=False))
    else:
        tell(redactor.text("\n".join(_lines(paper))))
        tell(f"certificate: {written[0] if written else 'none'}")
    return 0 if paper.verdict == PROVEN and written else 1


def _lines(paper: Certificate) -> Iterator[str]:
    """What a person reads first."""
    yield f"\n{paper.verdict}: {paper.sentence}"
    yield from (f"  {target}" for target in (paper.rto, paper.rpo) if target)
    yield from ([f"  {paper.checks}"] if paper.checks else [])
    yield from (f"  {fault}" for fault in paper.faults[:SHOWN])
    yield from ([f"  and {len(paper.faults) - SHOWN} more"] if len(paper.faults) > SHOWN else [])
    yield from ([f"  {paper.trouble}"] if paper.trouble else [])


def _moment(text: str) -> datetime | None:
    from pytest_runbook import clock

    if not text:
        return None
    try:
        moment = clock.parse(text)
    except ValueError:
        raise BadUsage(f'"{text}" is no moment\n  hint: --disaster 2026-11-22T18:03:05Z') from None
    return moment if moment.tzinfo else moment.astimezone()

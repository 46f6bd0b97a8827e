"""`runbook backup`: make a backup, read it back, bring it off-site; show, verify and remove the ones there are."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pytest_runbook.cli._changing import heed_endings, tell
from pytest_runbook.cli._options import loaded, project_root, settings_options

if TYPE_CHECKING:
    from pytest_runbook.backup.destinations import Destination
    from pytest_runbook.backup.everything import Made
    from pytest_runbook.backup.progress import Progress
    from pytest_runbook.settings import Loaded, Settings

FAILED = 1


@click.command(
    epilog="""\b
Exit codes:
  0    made, and read back wherever it should be; or shown, and with --verify nothing is wrong
  1    no backup was made, or one that is not good; with --verify, it is not good
  2    interrupted; what was begun is removed
  4    bad settings, or no such destination
"""
)
@settings_options
@click.option("--full", is_flag=True, help="Store all files again, whatever earlier backups hold.")
@click.option(
    "--to", metavar="NAME", multiple=True, help="Copy it there only; by default to every destination. Repeatable."
)
@click.option(
    "--from", "source", metavar="NAME", help="With --list, --verify and --prune: this destination; by default all."
)
@click.option("--list", "listing", is_flag=True, help="Show the backups that there are.")
@click.option("--verify", metavar="ID", help='Read this one back, whole; "newest" is the newest.')
@click.option("--prune", is_flag=True, help="Only remove old ones, as [backup.retention] says.")
@click.option("--dry-run", is_flag=True, help="With --prune: say what would be removed.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object or array.")
def command(file: Path | None, overrides: tuple[str, ...], **options: Any) -> int:
    """Make a backup of database, cache and files, and read it back before it is called good."""
    from pytest_runbook.backup.progress import Progress, Terminal
    from pytest_runbook.errors import BackupError, UsageError
    from pytest_runbook.evidence.redaction import Redactor

    found, root = loaded(file, overrides), project_root(file)
    clean = Redactor(found.secrets).text
    heed_endings("interrupted: what was begun is removed")
    progress = Progress() if options["as_json"] else Terminal(clean)
    try:
        return _done(found, root, progress, options)
    except BackupError as error:
        tell(clean(str(error)), err=True)
        return FAILED
    except UsageError as error:
        from pytest_runbook.cli._options import BadUsage

        raise BadUsage(clean(str(error))) from None


def _done(found: Loaded, root: Path, progress: Progress, options: dict[str, Any]) -> int:
    settings, as_json = found.settings, bool(options["as_json"])
    names = [options["source"]] if options["source"] else list(settings.backup.destinations)
    if options["listing"]:
        return _list(settings, root, names, as_json)
    if options["verify"]:
        return _verify(settings, root, names, options["verify"], progress, as_json)
    if options["prune"] or options["dry_run"]:
        return _prune(settings, root, names, bool(options["dry_run"]), as_json)
    from pytest_runbook.backup.everything import backup

    made = backup(settings, root, to=options["to"] or None, full=options["full"], progress=progress)
    if as_json:
        tell(json.dumps(_plain(made), indent=2, ensure_ascii=False))
    else:
        tell(made.manifest.id)
    return 0 if made.good else FAILED


def _plain(made: Made) -> dict[str, Any]:
    return {
        "id": made.manifest.id,
        "good": made.good,
        "bytes": made.manifest.size,
        "created": made.manifest.created,
        "finished": made.manifest.finished,
        "destinations": [verdict.to_json() for verdict in made.verdicts],
        "problems": made.problems,
        "notices": made.notices,
        "removed": [{"id": one.id, "destination": one.destination} for one in made.judged if one.removed],
    }


def _list(settings: Settings, root: Path, names: list[str], as_json: bool) -> int:
    from pytest_runbook.backup import closing
    from pytest_runbook.backup.belonging import is_ahead
    from pytest_runbook.errors import BackupError

    rows: list[dict[str, Any]] = []
    silent = 0
    for name in names:
        try:
            with closing(name, settings, root, tries=1) as place:
                rows += [_row(place, one) for one in reversed(place.backups())]
        except BackupError as error:  # the others are still of interest, above all when this one is lost
            tell(f"{name}: {error}", err=True)
            silent = FAILED
    if as_json:
        tell(json.dumps(rows, indent=2))
        return silent
    for row in rows:
        size = "cannot be read" if row["bytes"] is None else f"{row['bytes']:,} bytes"
        told = next((f"{word} {row[word]}" for word in ("verified", "refuted") if row[word]), "not verified")
        back = f", restored {row['restored']}" if row["restored"] else ""
        early = ", of the future" if is_ahead(row["id"]) else ""
        early += ", of what a restore replaced" if row["safety"] else ""
        tell(f"{row['id']}  {row['destination']}  {size}  {told}{back}{early}")
    if not rows and not silent:
        tell("there is no backup yet")
    return silent


def _row(place: Destination, backup: str) -> dict[str, Any]:
    """What there is to say of one backup."""
    from pytest_runbook.backup.manifest import REFUTED, RESTORED, VERIFIED
    from pytest_runbook.errors import BackupError

    row: dict[str, Any] = {"id": backup, "destination": place.name, "bytes": None, "safety": None}
    with suppress(BackupError):
        head = place.head(backup)
        row |= {"bytes": head.size, "safety": head.safety}
    for key, note in (("verified", VERIFIED), ("refuted", REFUTED), ("restored", RESTORED)):
        row[key] = None
        with suppress(BackupError):
            row[key] = (place.noted(backup, note) or {}).get("at")
    return row


def _verify(settings: Settings, root: Path, names: list[str], which: str, progress: Progress, as_json: bool) -> int:
    from pytest_runbook.backup import verify
    from pytest_runbook.backup.belonging import newest, passed_over
    from pytest_runbook.backup.everything import closing
    from pytest_runbook.backup.verdict import Fault, Verdict

    verdicts = []
    for name in names:
        with closing(name, settings, root) as place:
            for notice in passed_over(place) if which == "newest" else ():
                click.echo(notice, err=True)
            chosen = next(iter(newest(place)), "") if which == "newest" else which
            if not chosen:
                verdicts.append(Verdict("", name, [Fault("no-manifest", "", "there is no backup")]))
                continue
            size = sum(place.names(chosen).values())
            with progress.bar(f"reading {chosen} back from {name}", size) as place.advance:
                verdicts.append(verify(place, chosen))
    if as_json:
        tell(json.dumps([verdict.to_json() for verdict in verdicts], indent=2, ensure_ascii=False))
    for verdict in () if as_json else verdicts:
        tell(f"{verdict.id or 'newest'} in {verdict.destination}: {'good' if verdict.good else 'not good'}")
        for part, how in verdict.looked.items():
            tell(f"    {part}: {how}")
        for fault in verdict.faults:
            tell(f"    {fault}")
    return 0 if all(verdict.good for verdict in verdicts) else FAILED


def _prune(settings: Settings, root: Path, names: list[str], dry: bool, as_json: bool) -> int:
    from dataclasses import asdict

    from pytest_runbook import clock
    from pytest_runbook.backup import making, retention
    from pytest_runbook.backup.everything import closing

    judged: list[retention.Judged] = []
    with making.alone(settings, root):
        for name in names:
            with closing(name, settings, root) as place:
                act = retention.judge if dry else retention.apply
                judged += act(place, settings.backup.retention, clock.now())
    if as_json:
        tell(json.dumps([asdict(one) for one in judged], indent=2, ensure_ascii=False))
    for one in () if as_json else judged:
        what = ("would be removed" if dry else "removed") if one.removed else "kept"
        tell(f"{one.id}  {one.destination}  {what}: {one.why}")
    return 0

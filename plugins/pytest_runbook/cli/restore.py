"""`runbook restore`: put a backup back, into servers of its own to look at, or into production."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pytest_runbook.cli._changing import heed_endings, insist_on, tell
from pytest_runbook.cli._options import BadUsage, loaded, project_root, settings_options

if TYPE_CHECKING:
    from pytest_runbook.backup.restore.journal import Restore
    from pytest_runbook.backup.restore.production import Production
    from pytest_runbook.settings import Loaded

FAILED = 1
PARTS = ("database", "cache", "files", "config")
PLACES = "places.env"
ACTIONS = ("status", "kept", "discard", "undo", "finish")
"""Options of which one at most is asked for; without them a backup is restored."""


@click.command(
    epilog="""\b
Exit codes:
  0    restored, or accepted by --finish; with --dry-run, --status, --kept: shown; with --undo: taken back;
       with --discard: removed
  1    not restored: refused, failed, taken back because the checks failed, or held because nobody could look;
       with --dry-run: it would be refused
  2    interrupted
  4    bad settings, a bad option or several that ask for different things, no such destination, or the name of the
       system was not typed
"""
)
@settings_options
@click.argument("backup", metavar="[BACKUP]", default="")
@click.option(
    "--from", "source", metavar="DESTINATION", default="", help="Where to take it from (default: the local one)."
)
@click.option("--only", metavar="PARTS", default=",".join(PARTS), show_default=True, help="Parts, with commas between.")
@click.option("--into", type=click.Choice(["scratch", "production"]), default="scratch", show_default=True)
@click.option(
    "--yes-overwrite", metavar="NAME", default="", help="The name of the system, which is asked for otherwise."
)
@click.option("--without-safety-backup", is_flag=True, help="Do not back up what is there now: it is lost anyway.")
@click.option("--over-deployment", is_flag=True, help="Also while a deployment is not at its end.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, or why it would be refused.")
@click.option("--status", is_flag=True, help="Show restores into production, and how far they came.")
@click.option(
    "--undo", is_flag=True, help="Take one back that was killed or held; BACKUP is then the id of the restore."
)
@click.option(
    "--without-history",
    is_flag=True,
    help="With --undo: also while the history cannot be asked; you see to it that nobody else acts.",
)
@click.option(
    "--finish",
    is_flag=True,
    help="Finish one that was killed, or accept one that is held; BACKUP is then the id of the restore.",
)
@click.option("--kept", is_flag=True, help="Show what restores keep beside what is in use.")
@click.option(
    "--discard", is_flag=True, help="Remove what one keeps, once the checks are green; BACKUP is the id of the restore."
)
def command(file: Path | None, overrides: tuple[str, ...], **options: Any) -> int:
    """Restore BACKUP, the id of one or "newest".

    Into scratch: servers of its own on this machine, to look at, gone when you are done. Into production: it is read back
    first, what is there is backed up, the exchange takes seconds, and is taken back when the checks fail.
    """
    from pytest_runbook.errors import RunbookError, UsageError
    from pytest_runbook.evidence.redaction import Redactor

    found, root = loaded(file, overrides), project_root(file)
    clean = Redactor(found.secrets).text
    heed_endings("interrupted: what was begun is taken back")
    try:
        return _done(found, root, file.absolute() if file else None, clean, {**options, "overrides": overrides})
    except UsageError as error:
        raise BadUsage(clean(str(error))) from None
    except RunbookError as error:
        tell(clean(str(error)), err=True)
        return FAILED


def _done(found: Loaded, root: Path, file: Path | None, clean: Any, options: dict[str, Any]) -> int:
    from pytest_runbook.backup.restore import left_out
    from pytest_runbook.backup.restore.production import Production

    _insist_on_one(options)
    production = Production(
        found, root, file, lambda line: tell(clean(f"restore: {line}")), overrides=options["overrides"]
    )
    if options["status"]:
        there = production.journal.all(production.say)
        for one in there:
            tell(clean(_line(one)))
        if not there:
            tell("nothing was restored into production yet")
        production.journal.note_ends(there)  # a version before this one noted none
        return 0
    if options["kept"] or options["discard"]:
        return _kept(production, found, clean, options)
    if options["undo"] or options["finish"]:
        if not production.journal.open(production.say):
            raise BadUsage("no restore is unfinished: nothing was done\n  hint: runbook restore --status")
        _sure(found, options["yes_overwrite"])
        if options["undo"]:
            return _ended(production.undo(options["backup"], history=not options["without_history"]), undo=True)
        return _ended(production.finish(options["backup"]))
    parts = _parts(options["only"])
    source = options["source"] or found.settings.backup.local
    backup = _chosen(found, root, source, options["backup"])
    if options["dry_run"]:
        if options["into"] == "production":
            for told in _insist(production, source, backup, parts, options):
                production.say(told)
        for line in _plan(found, options["into"], source, backup, parts):
            tell(clean(f"would {line}"))
        return 0
    if options["into"] == "scratch":
        return _look_at(found, root, source, backup, clean)
    _sure(found, options["yes_overwrite"], ask=False)
    _insist(production, source, backup, parts, options)  # to read it back may take hours
    manifest = production.judge(source, backup)
    tell(clean(f"{backup} of {manifest.created} replaces {', '.join(parts)} of {found.settings.system.name}"))
    for line in map(left_out.warning, left_out.of(manifest, parts, found.settings)):
        tell(clean(line))
    _sure(found, options["yes_overwrite"])
    asked = {"safety": not options["without_safety_backup"], "over_deployment": options["over_deployment"]}
    return _ended(production.restore(source, manifest, parts, **asked))


def _insist(production: Production, source: str, backup: str, parts: list[str], options: dict[str, Any]) -> list[str]:
    """Refuse what a restore would refuse before it makes anything; only that the backup is not good is not seen.

    What is to be told: of a deployment that is not at its end, and of doubts.
    """
    from pytest_runbook.backup.restore import exclusion

    store = exclusion.history(production.loaded.settings, production.root)
    manifest = production.judge(source, backup, whole=False)
    return production.insist(store, manifest, parts, over=options["over_deployment"])


def _insist_on_one(options: dict[str, Any]) -> None:
    """Refuse options that ask for two things, or to show what cannot be shown."""
    asked = [f"--{name}" for name in ACTIONS if options[name]]
    if len(asked) > 1:
        raise BadUsage(f'"{" ".join(asked)}" asks for several things: nothing was done\n  hint: one of them')
    if options["without_history"] and not options["undo"]:
        raise BadUsage('"--without-history" is for --undo alone: nothing was done')
    if options["dry_run"] and (options["undo"] or options["finish"]):
        raise BadUsage(
            f'"{asked[0]}" knows no --dry-run: nothing was done\n'
            "  hint: --status says how far the restore came, and docs/restore.md what would follow"
        )


def _kept(production: Production, found: Loaded, clean: Any, options: dict[str, Any]) -> int:
    """Show what is kept, or remove what one restore keeps."""
    from pytest_runbook import clock
    from pytest_runbook.backup.restore.keeping import Keeping
    from pytest_runbook.errors import unknown

    keeping = Keeping(production)
    if options["discard"] and not options["backup"]:
        raise BadUsage("which restore?\n  hint: its id; runbook restore --kept shows them")
    known = [one.id for one in production.journal.all(production.say)]
    if options["discard"] and options["backup"] not in known:
        raise BadUsage(unknown("restore", options["backup"], known, "runbook restore --kept shows them"))
    if options["discard"] and not options["dry_run"]:
        for line in keeping.only_there(production.journal.read(options["backup"])):
            tell(clean(f"{line} are only there: they are lost with it"))
        _sure(found, options["yes_overwrite"])
        freed = sum(one.size for one in keeping.discard(options["backup"]))
        tell(f"{options['backup']}: {freed:,} bytes are free again")
        return 0
    there = keeping.all()
    if not there:
        tell("nothing is kept")
    for restore, kept in there:
        if options["discard"] and restore.id != options["backup"]:
            continue
        age = clock.duration((clock.now() - clock.parse(restore.finished or restore.started)).total_seconds())
        tell(f"{restore.id}  {restore.state} {age} ago: {', '.join(restore.parts)} of {restore.backup}")
        for one in kept:
            would = "would be removed" if options["discard"] else "kept"
            tell(clean(f"    {would}: {one} ({one.size:,} bytes)"))
        for line in keeping.only_there(restore):
            tell(clean(f"    only there: {line}"))
    return 0


def _chosen(found: Loaded, root: Path, source: str, backup: str) -> str:
    from pytest_runbook.backup import destinations
    from pytest_runbook.backup.belonging import newest, passed_over

    if not backup:
        raise BadUsage("which backup?\n  hint: its id, or newest; runbook backup --list shows them")
    if backup != "newest":
        return backup
    place = destinations.connect(source, found.settings, root)
    try:
        there, notices = newest(place), passed_over(place)
    finally:
        place.close()
    for notice in notices:
        click.echo(notice, err=True)
    if not there:
        also = ", or the ID of one" if notices else ""
        raise BadUsage(f'"{source}" holds no finished backup\n  hint: --from another destination{also}')
    return there[-1]


def _parts(text: str) -> list[str]:
    from pytest_runbook.errors import unknown

    parts = [part.strip() for part in text.split(",") if part.strip()]
    if wrong := [part for part in parts if part not in PARTS]:
        raise BadUsage(unknown("part", wrong[0], PARTS))
    return parts


def _sure(found: Loaded, given: str, *, ask: bool = True) -> None:
    """Ask for the name of the system, unless it is GIVEN: what is overwritten should be what one thinks."""
    if ask or given or not sys.stdin.isatty():
        insist_on(found.settings.system.name, given, "--yes-overwrite", "overwrite it")


def _plan(found: Loaded, into: str, source: str, backup: str, parts: list[str]) -> list[str]:
    own = found.settings.restore
    if into == "scratch":
        return [
            f'restore "{backup}" from "{source}" into servers of its own',
            "wait until you are done, and remove them",
        ]
    stopped = [*own.stop, *([own.cache] if own.cache and "cache" in parts and own.cache not in own.stop else [])]
    return [
        f'read "{backup}" back from "{source}", whole, and refuse it when anything is wrong with it',
        "back up what is there now",
        f"restore {', '.join(parts)} beside what is there, and compare with the manifest",
        f"stop {', '.join(stopped) or 'nothing'}" + (", as far as they run" if own.stop else ""),
        "exchange what is there for what was restored, by renaming",
        f"start {', '.join(reversed(stopped)) or 'nothing'}" + (", those that ran" if own.stop else ""),
        f'run the checks "{own.checks}", and put everything back when they fail' if own.checks else "run no checks",
    ]


def _look_at(found: Loaded, root: Path, source: str, backup: str, clean: Any) -> int:
    """Restore into servers of our own, and wait until somebody has looked."""
    from pytest_runbook.backup import destinations
    from pytest_runbook.backup.drill.restoring import ScratchRestore
    from pytest_runbook.backup.drill.stopwatch import Stopwatch
    from pytest_runbook.backup.restore import scratch

    with ExitStack() as stack:
        place = destinations.connect(source, found.settings, root)
        stack.callback(place.close)
        home = stack.enter_context(scratch.folder(found.settings.drill.folder))
        watch = Stopwatch([], lambda line: tell(clean(f"restore: {line}")))
        seen = ScratchRestore(found.settings, place, place.manifest(backup), home, watch, stack).run()
        for fault in seen.faults:
            tell(clean(f"restore: {fault}"), err=True)
        if seen.faults:
            return FAILED
        file = home / PLACES
        file.touch(mode=0o600)
        file.write_text("".join(f"{name.upper()}={value}\n" for name, value in seen.places.items() if value))
        tell(f"addresses and passwords: {file}\nit stays until you press Enter")
        sys.stdin.readline()
    return 0


def _ended(restore: Restore, *, undo: bool = False) -> int:
    from pytest_runbook.backup.restore import journal

    tell(f"{restore.id}: {restore.state}")
    if restore.state == journal.HELD:
        tell("look yourself, then: runbook restore --finish, which accepts it as it is, or --undo")
    return 0 if restore.state == (journal.UNDONE if undo else journal.DONE) else FAILED


def _line(one: Restore) -> str:
    state = one.state
    if one.open and state != "held" and not one.alive:
        unseen = f"whether its process {one.process['pid']} on {one.process['host']} lives cannot be seen from here"
        known = "its process is gone" if one.alive is False else unseen
        state = f"not finished, and {known}; it was {one.state} ({one.phase})"
    told = "\n".join(f"    {line}" for line in one.story)
    return f"{one.id}  {state}: {', '.join(one.parts)} of {one.backup} from {one.source}\n{told}".rstrip()

"""The bad backups: how each is made, which reason has to be told, and whether reading back alone can see it."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pytest_runbook.backup.manifest import CACHE, DATABASE, FILES, MANIFEST, ROLES

from lab.knownbad.workshop import Bad

LATER = 99


@dataclass(frozen=True)
class Case:
    """One way in which a backup is bad."""

    name: str
    title: str
    reasons: tuple[str, ...]
    """One of these has to be told."""
    damage: Callable[[Bad], object]
    verifies: bool = False
    """Whether reading it back finds nothing wrong: only restoring it shows what it is."""
    sealed: bool = False
    """Whether it is encrypted, and the key at hand is another one."""
    bucket: bool = False
    """Whether it lies in a bucket; without one the case is left out."""


def cases() -> list[Case]:
    """All of them."""
    return [*FILES_OF_IT, *DUMPS, *MANIFESTS, *CACHES, *ARCHIVES, *PLACES]


def _a_table(bad: Bad) -> str:
    """The table with the most rows, quoted."""
    told = bad.workshop.manifest.database
    assert told
    schema, _, name = max(told.tables, key=lambda one: told.tables[one].rows).partition(".")
    return f'"{schema}"."{name}"'


def _says(**changes: Any) -> Callable[[Bad], None]:
    def change(bad: Bad) -> None:
        with bad.told() as data:
            data.update(changes)

    return change


def _half_way(bad: Bad) -> None:
    bad.cut(bad.largest())
    bad.agree()


def _no_contents(bad: Bad) -> None:
    bad.cut(bad.path(DATABASE) / "toc.dat")
    bad.agree()


def _nothing(bad: Bad) -> None:
    bad.path(f"{DATABASE}/toc.dat").write_bytes(b"")
    bad.agree()


def _text(bad: Bad) -> None:
    (bad.path(DATABASE) / "toc.dat").write_bytes(b"-- this is no archive\n" * 100)
    bad.agree()


def _old_manifest(bad: Bad) -> None:
    """The files are of another day than the manifest."""
    before = bad.path(MANIFEST).read_text()
    bad.workshop.dump(bad.path(DATABASE), f"DELETE FROM {_a_table(bad)} WHERE false")
    bad.flip(bad.largest(), 0.99)
    bad.path(MANIFEST).write_text(before)


def _stale(bad: Bad) -> None:
    """Yesterday's backup under today's name: the copy job copied the same thing again, its times are of now."""
    with bad.told() as data:
        data["id"] = "20200101T000000Z"
        data["files"] = {name: {**file, "backup": data["id"]} for name, file in (data["files"] or {}).items()}


def _late(bad: Bad) -> None:
    """The manifest says that it was made today; the dump inside is the old one."""
    with bad.told() as data:
        data["created"] = data["created"].replace("20", "21", 1)
        data["finished"] = data["finished"].replace("20", "21", 1)


def _fewer_rows(bad: Bad) -> None:
    table = _a_table(bad)
    bad.other_dump(f"DELETE FROM {table} WHERE ctid IN (SELECT ctid FROM {table} LIMIT 3)")


def _other_rows(bad: Bad) -> None:
    """As many rows, one of them another."""
    bad.other_dump(
        "DO $$ DECLARE t text; c text; BEGIN"
        " SELECT format('%I.%I', table_schema, table_name), quote_ident(column_name) INTO t, c"
        " FROM information_schema.columns JOIN pg_stat_user_tables ON relname = table_name AND schemaname = table_schema"
        " WHERE data_type = 'text' AND is_nullable = 'NO' ORDER BY table_name LIMIT 1;"
        " EXECUTE format('UPDATE %s SET %s = %s || ''!'' WHERE ctid = (SELECT min(ctid) FROM %s)', t, c, c, t);"
        " END $$"
    )


def _without_table(bad: Bad) -> None:
    bad.other_dump(options=(f"--exclude-table={_a_table(bad)}",))


def _without_indexes(bad: Bad) -> None:
    bad.other_dump(
        "DO $$ DECLARE i text; BEGIN"
        " SELECT format('%I.%I', schemaname, indexname) INTO i FROM pg_indexes JOIN pg_class ON relname = indexname"
        " JOIN pg_index ON indexrelid = pg_class.oid WHERE schemaname !~ '^pg_' AND NOT indisunique LIMIT 1;"
        " EXECUTE 'DROP INDEX ' || i; END $$"
    )


def _without_constraint(bad: Bad) -> None:
    bad.other_dump(
        "DO $$ DECLARE k record; BEGIN"
        " SELECT conrelid::regclass::text AS t, quote_ident(conname) AS n INTO k FROM pg_constraint WHERE contype = 'f' LIMIT 1;"
        " EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %s', k.t, k.n); END $$"
    )


def _sequence_back(bad: Bad) -> None:
    bad.other_dump(
        "DO $$ DECLARE s text; BEGIN"
        " SELECT format('%I.%I', schemaname, sequencename) INTO s FROM pg_sequences WHERE last_value > 1"
        " ORDER BY last_value DESC LIMIT 1; PERFORM setval(s, 1); END $$"
    )


def _older_rows(bad: Bad) -> None:
    """The newest rows are older than the manifest says: as many, of another day."""
    told = bad.workshop.manifest.database
    newest = [name.rpartition(".") for name in (told.newest if told else ())]
    bad.other_dump(*(f'UPDATE "{table}" SET "{time}" = "{time}" - interval \'2 days\'' for table, _, time in newest))


def _climbs(name: str) -> Callable[[Bad], None]:
    return lambda bad: bad.other_archive({}, {name: b"* * * * * root true\n"})


def _leads_out(bad: Bad) -> None:
    link = tarfile.TarInfo("uploads/way")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc"
    bad.other_archive({}, {"way": link, "uploads/way/cron.d/evil": b"* * * * * root true\n"})


def _unknown_file(bad: Bad) -> None:
    bad.other_archive({}, {"uploads/stranger.bin": b"?" * 100})


def _earlier_gone(bad: Bad) -> None:
    """A file that an earlier backup has, and that backup was removed."""
    name = bad.a_file()
    with bad.told() as data:
        data["files"][name]["backup"] = "20200101T000000Z"


def _rdb_flipped(bad: Bad) -> None:
    bad.flip(bad.path(CACHE), 0.7)
    bad.agree()


def _archive_half(bad: Bad) -> None:
    bad.cut(bad.path(FILES))
    bad.agree()


def _no_manifest(bad: Bad) -> None:
    bad.path(MANIFEST).unlink()


def _says_nothing(bad: Bad) -> None:
    bad.path(MANIFEST).write_text(json.dumps([]))


FILES_OF_IT = [
    Case(
        "truncated", "a file of the dump is cut off in the middle", ("truncated",), lambda bad: bad.cut(bad.largest())
    ),
    Case(
        "bit-flipped",
        "one bit of a file of the dump is turned round",
        ("corrupt",),
        lambda bad: bad.flip(bad.largest()),
    ),
    Case("empty-file", "a file of the dump has 0 bytes", ("empty",), lambda bad: bad.largest().write_bytes(b"")),
    Case(
        "empty-contents",
        "the dump's table of contents has 0 bytes",
        ("empty",),
        lambda bad: bad.path(f"{DATABASE}/toc.dat").write_bytes(b""),
    ),
    Case("missing-file", "a file of the dump is gone", ("missing",), lambda bad: bad.largest().unlink()),
    Case("missing-roles", "the file of roles is gone", ("missing",), lambda bad: bad.path(ROLES).unlink()),
    Case("grown", "something was added to a file", ("corrupt",), lambda bad: bad.grow(bad.path(CACHE))),
]
DUMPS = [
    Case(
        "half-way",
        "the dump died half-way, and the exit status of what compressed it was believed: the manifest fits",
        ("not-a-dump",),
        _half_way,
    ),
    Case("contents-cut", "the table of contents is cut, the manifest fits", ("not-a-dump",), _no_contents),
    Case("nothing", "the table of contents has 0 bytes, the manifest fits", ("not-a-dump", "empty"), _nothing),
    Case("no-dump", "something else stands where the dump should be, the manifest fits", ("not-a-dump",), _text),
    Case(
        "wrong-database",
        "the dump is of another database of the same server, the manifest fits",
        ("wrong-database",),
        lambda bad: bad.other_dump(name="another"),
    ),
    Case(
        "empty-tables",
        "the dump has all tables and no rows, the manifest fits",
        ("no-rows",),
        lambda bad: bad.other_dump(options=("--schema-only",)),
    ),
    Case("missing-table", "one table is not in the dump, the manifest fits", ("no-tables",), _without_table),
    Case("fewer-rows", "three rows are not in the dump, the manifest fits", ("no-rows", "not-restored"), _fewer_rows),
    Case("other-rows", "one row says something else, the manifest fits", ("not-restored",), _other_rows, verifies=True),
    Case("older-rows", "the rows are of two days before, the manifest fits", ("stale",), _older_rows, verifies=True),
    Case(
        "no-index", "an index is not in the dump, the manifest fits", ("not-restored",), _without_indexes, verifies=True
    ),
    Case(
        "no-constraint",
        "a foreign key is not in the dump, the manifest fits",
        ("not-restored",),
        _without_constraint,
        verifies=True,
    ),
    Case(
        "sequence-back", "a sequence begins anew, the manifest fits", ("not-restored",), _sequence_back, verifies=True
    ),
]
MANIFESTS = [
    Case(
        "no-manifest",
        "there is no manifest, the backup did not finish",
        ("no-manifest",),
        _no_manifest,
    ),
    Case("manifest-cut", "the manifest is cut off", ("corrupt",), lambda bad: bad.cut(bad.path(MANIFEST))),
    Case(
        "manifest-list",
        "the manifest says nothing",
        ("corrupt",),
        _says_nothing,
    ),
    Case("later-software", "the manifest is of a later software", ("unknown-version",), _says(version=LATER)),
    Case("other-system", "the backup is of another system", ("other-system",), _says(system="Another")),
    Case("old-manifest", "an old manifest beside new files", ("corrupt", "truncated", "missing"), _old_manifest),
    Case("stale-copy", "an old backup under a new name, with fresh times of its files", ("stale",), _stale),
    Case("says-today", "the manifest says that it was made later than the dump inside", ("stale",), _late),
]
CACHES = [
    Case("rdb-cut", "the cache's snapshot is cut off", ("truncated",), lambda bad: bad.cut(bad.path(CACHE))),
    Case("rdb-empty", "the cache's snapshot has 0 bytes", ("empty",), lambda bad: bad.path(CACHE).write_bytes(b"")),
    Case(
        "rdb-flipped",
        "one bit of the cache's snapshot is turned round, the manifest fits",
        ("not-a-dump", "wrong-instance"),
        _rdb_flipped,
    ),
    Case(
        "rdb-of-another", "the snapshot is of another cache, the manifest fits", ("wrong-instance",), Bad.other_snapshot
    ),
]
ARCHIVES = [
    Case(
        "climbs-out",
        "a path in the archive of files climbs out with ../",
        ("unsafe-path",),
        _climbs("uploads/../../../evil"),
    ),
    Case("from-the-root", "a path in the archive begins at the root", ("unsafe-path",), _climbs("/tmp/evil")),
    Case("link-out", "a link in the archive leads out, and a file is written through it", ("unsafe-path",), _leads_out),
    Case("stranger", "the archive has a file that the manifest does not know", ("unexpected",), _unknown_file),
    Case(
        "file-changed",
        "a file in the archive is another, the manifest fits the archive",
        ("corrupt",),
        lambda bad: bad.other_archive({bad.a_file(): b"x" * 150}, {}),
    ),
    Case(
        "file-left-out",
        "a file is not in the archive, the manifest fits the archive",
        ("missing",),
        lambda bad: bad.other_archive({bad.a_file(): None}, {}),
    ),
    Case("archive-cut", "the archive is cut off", ("truncated",), lambda bad: bad.cut(bad.path(FILES))),
    Case(
        "archive-half",
        "the archive ends in the middle, the manifest fits",
        ("corrupt",),
        _archive_half,
    ),
    Case("earlier-gone", "the earlier backup that has a file is gone", ("no-manifest", "missing"), _earlier_gone),
]
PLACES = [
    Case(
        "wrong-key",
        "the copy is encrypted, and the key at hand is another",
        ("wrong-key",),
        lambda bad: None,
        sealed=True,
    ),
    Case(
        "missing-object",
        "an object is not in the bucket any more",
        ("missing",),
        lambda bad: bad.largest().unlink(),
        bucket=True,
    ),
]

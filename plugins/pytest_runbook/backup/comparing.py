"""Compares what was restored with what the manifest says was saved."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_runbook.backup.manifest import HASHING, Cache, Database, Table
from pytest_runbook.backup.verdict import Fault
from pytest_runbook.model import Record

if TYPE_CHECKING:
    import psycopg
    from psycopg import sql

MOST = 20
"""Faults of one kind that are told one by one."""
LOST = "is not there, or not as it was"
AMCHECK = """
    SELECT c.oid, n.nspname || '.' || c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace n ON n.oid = t.relnamespace
    WHERE c.relam = (SELECT oid FROM pg_am WHERE amname = 'btree') AND c.relkind = 'i' AND i.indisvalid AND i.indisready
      AND n.nspname || '.' || t.relname = ANY (%s) ORDER BY 2
"""


@dataclass(frozen=True, slots=True)
class Proof(Record):
    """One thing that was compared."""

    what: str
    expected: str
    found: str
    ok: bool | None
    """None: nobody could look."""


def database(
    told: Database, seen: Database, ignore: Collection[str] = (), *, roles: bool = True
) -> tuple[list[Proof], list[Fault]]:
    """What shows that the database SEEN is the one that the manifest TOLD of, and what shows that it is not.

    Tables of IGNORE are not compared; without ROLES those neither.
    """
    # Rows that were left out on purpose were not saved.
    left = {*ignore, *told.excluded}
    tables = {name: table for name, table in told.tables.items() if name not in left}
    faults = (
        [] if told.tables else [Fault("no-tables", "database", "the manifest names none: there is nothing to restore")]
    )
    faults += [*_tables(tables, {name: table for name, table in seen.tables.items() if name not in left})]
    proofs = [
        _same("tables", len(tables), len(set(tables) & set(seen.tables))),
        _same(
            "rows", sum(t.rows for t in tables.values()), sum(seen.tables[n].rows for n in tables if n in seen.tables)
        ),
        _checksums(tables, seen.tables),
    ]
    for what, here, there in (
        ("sequences", told.sequences, seen.sequences),
        ("extensions", told.extensions, seen.extensions),
        ("indexes, all valid", dict.fromkeys(told.indexes), dict.fromkeys(seen.indexes)),
        ("roles", dict.fromkeys(told.roles if roles else ()), dict.fromkeys(seen.roles)),
    ):
        # What a later server brings along with an extension, or in roles of its own, is no fault of the backup.
        wrong = [name for name in here if name not in there or (what == "sequences" and here[name] != there[name])]
        proofs.append(_same(what, len(here), len(here) - len(wrong)))
        faults += _told("not-restored", f"database:{what.partition(',')[0]}", wrong, LOST)
    proofs += [
        _same("constraints", told.constraints, seen.constraints),
        *(_same(f"{what}, counted", number, seen.objects.get(what, 0)) for what, number in told.objects.items()),
        _same("encoding", told.encoding, seen.encoding),
        _same("newest row", told.newest_row or "none", seen.newest_row or "none"),
    ]
    if told.constraints != seen.constraints:
        faults.append(Fault("not-restored", "database", f"{seen.constraints} constraints of {told.constraints}"))
    for what, number in told.objects.items():
        if number != seen.objects.get(what, 0):
            faults.append(Fault("not-restored", "database", f"{seen.objects.get(what, 0)} {what} of {number}"))
    if told.encoding != seen.encoding:
        faults.append(Fault("not-restored", "database", f'encoding "{seen.encoding}", not "{told.encoding}"'))
    if told.newest_row != seen.newest_row:
        faults.append(
            Fault(
                "stale",
                "database",
                f"its newest row is of {seen.newest_row or 'never'}, the manifest says {told.newest_row}",
            )
        )
    return proofs, faults


def properties(told: Database, seen: Mapping[str, str]) -> tuple[list[Proof], list[Fault]]:
    """The same of what the database itself was given: SEEN of the restored one, which gets it last."""
    wrong = [name for name, value in told.properties.items() if seen.get(name) != value]
    proofs = [_same("its own settings", len(told.properties), len(told.properties) - len(wrong))]
    return proofs if told.properties else [], list(_told("not-restored", "database", wrong, LOST))


def _tables(told: Mapping[str, Table], seen: Mapping[str, Table]) -> Iterable[Fault]:
    if told and not set(told) & set(seen):
        yield Fault("no-tables", "database", f"none of {len(told)} tables was restored")
        return
    yield from _told("no-tables", "database", [name for name in told if name not in seen], "was not restored")
    extra = [name for name in seen if name not in told]
    yield from _told("not-restored", "database", extra, "was restored, and the manifest does not know it")
    for name, table in told.items():
        now = seen.get(name)
        if now is None:
            continue
        if table.rows and not now.rows:
            yield Fault("no-rows", f"database:{name}", f"no rows of {table.rows}")
        elif table.rows != now.rows:
            yield Fault("not-restored", f"database:{name}", f"{now.rows} rows of {table.rows}")
        elif comparable(table, now) and table.checksum != now.checksum:
            yield Fault("not-restored", f"database:{name}", "its rows are not those that were saved")


def comparable(told: Table, seen: Table) -> bool:
    """Whether both have a checksum of the same rows."""
    return None not in (told.checksum, seen.checksum) and told.sampled == seen.sampled


def incomparable(told: Database, seen: Database, tables: Collection[str]) -> list[str]:
    """What of TOLD nothing in SEEN shows: objects, and rows of TABLES that an older release told of in a way of its own, or
    that were only counted, since a query of them would execute what others wrote.
    """
    both = [(told.tables[name], seen.tables[name]) for name in tables if name in seen.tables]
    older = "the backup is of an older release"
    found = []
    if left := sum(then.checksum is not None and now.checksum is None for then, now in both):
        why = older if told.hashing < HASHING else "a query of them would execute functions of their owners"
        found.append(f"rows of {left} tables were counted and not compared: {why}")
    if bare := sum(then.checksum is None and then.rows > 0 for then, _ in both):
        found.append(f"rows of {bare} tables were counted and not compared: the backup has no checksum of them")
    if not told.objects:
        found.append(f"functions, triggers, policies, views and large objects were not compared: {older}")
    if large := told.objects.get("large objects"):
        found.append(f"{large} large objects were counted, and their content was not compared")
    return found


def _checksums(told: Mapping[str, Table], seen: Mapping[str, Table]) -> Proof:
    both = {name for name in told if name in seen and comparable(told[name], seen[name])}
    same = [name for name in both if told[name].checksum == seen[name].checksum]
    sampled = sum(told[name].sampled for name in both)
    what = "checksums of tables" + (f", {sampled} of their last rows" if sampled else "")
    return _same(what, len(both), len(same))


def cache(told: Cache, seen: Mapping[str, tuple[int, int]]) -> tuple[list[Proof], list[Fault]]:
    """The same of a cache: SEEN is database to keys, and how many of them expire. Those may have expired since."""
    proofs, faults = [], []
    for number in sorted({*told.keys, *seen}):
        expected, expiring = told.keys.get(number, 0), told.expires.get(number, 0)
        keys, still = seen.get(number, (0, 0))
        ok = keys - still == expected - expiring and still <= expiring
        proofs.append(Proof(f"keys of database {number}", _keys(expected, expiring), _keys(keys, still), ok))
        if not ok:
            message = f"database {number} has {_keys(keys, still)}, the manifest says {_keys(expected, expiring)}"
            faults.append(Fault("wrong-instance", "cache", message))
    return proofs or [Proof("keys of all databases", _keys(0, 0), _keys(0, 0), ok=True)], faults


def _keys(keys: int, expiring: int) -> str:
    return f"{keys} keys, {expiring} of them expire" if expiring else f"{keys} keys"


UNSEEN = """
    SELECT set_config('session_replication_role', 'replica', false) FROM pg_roles WHERE rolname = current_user AND rolsuper
"""
"""Event triggers that were restored neither forbid what a session does, nor write rows of it, but for those that fire ALWAYS."""


def indexes(session: psycopg.Connection[tuple[Any, ...]], tables: Collection[str]) -> tuple[list[Proof], list[Fault]]:
    """What amcheck says of every B-tree of TABLES; nothing where the server has no amcheck."""
    import psycopg
    from psycopg import sql

    if session.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'amcheck'").fetchone() is None:
        return [Proof("B-trees, by amcheck", "in order", "this server has no amcheck", ok=None)], []
    session.execute(UNSEEN)
    session.execute("CREATE EXTENSION IF NOT EXISTS amcheck SCHEMA pg_catalog")
    check = sql.SQL("SELECT {}.bt_index_check(%s::oid::regclass)").format(_schema_of_amcheck(session))
    faults, found = [], session.execute(AMCHECK, (list(tables),)).fetchall()
    for oid, name in found:
        try:
            session.execute(check, (oid,))
        except psycopg.Error as error:
            faults.append(Fault("not-restored", f"database:{name}", f"amcheck: {str(error).partition(chr(10))[0]}"))
    return [_same("B-trees in order, by amcheck", len(found), len(found) - len(faults))], faults


def _schema_of_amcheck(session: psycopg.Connection[tuple[Any, ...]]) -> sql.Identifier:
    from psycopg import sql

    asked = "SELECT nspname FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace WHERE extname = 'amcheck'"
    (name,) = session.execute(asked).fetchone() or ("pg_catalog",)
    return sql.Identifier(name)


def _same(what: str, expected: object, found: object) -> Proof:
    return Proof(what, str(expected), str(found), expected == found)


def _told(reason: str, where: str, names: list[str], message: str) -> Iterable[Fault]:
    yield from (Fault(reason, f"{where}:{name}", message) for name in names[:MOST])
    if len(names) > MOST:
        yield Fault(reason, where, f"and {len(names) - MOST} more")

"""Logical replication of a database that is exchanged: what takes data in is switched, what hands them out is told of.

A renaming takes both along: subscriptions and slots stay with the database that is put aside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from pytest_runbook.errors import BackupError

if TYPE_CHECKING:
    from pytest_runbook.backup.postgresql import Server

# The catalog is one for all databases of a server, and who is no superuser may read these columns.
SUBSCRIPTIONS = """
    SELECT subname, subenabled FROM pg_subscription JOIN pg_database d ON d.oid = subdbid WHERE datname = %s ORDER BY 1
"""
SLOTS = """
    SELECT slot_name::text, plugin::text FROM pg_replication_slots
    WHERE database = %s AND slot_type = 'logical' AND NOT temporary ORDER BY 1
"""
ENABLE, DISABLE, DROP = "ALTER SUBSCRIPTION {} ENABLE", "ALTER SUBSCRIPTION {} DISABLE", "DROP SUBSCRIPTION {}"
FORGET = "ALTER SUBSCRIPTION {} SET (slot_name = NONE)"


def enabled(server: Server, database: str) -> list[str]:
    """The subscriptions of DATABASE that are enabled."""
    return [name for name, on in _subscriptions(server, database) if on]


def before(server: Server, live: str) -> list[str]:
    """What to tell of LIVE before it is exchanged: what becomes of its subscriptions and slots, and what to do afterwards."""
    told = [
        f'the subscription "{name}" of "{live}" is disabled when that is put aside; going back enables it again'
        for name in enabled(server, live)
    ]
    with server.connect() as session:
        slots = session.execute(SLOTS, (live,)).fetchall()
    for name, plugin in slots:
        told.append(
            f'the logical replication slot "{name}" of "{live}" goes aside with it, hands out nothing that is written '
            "afterwards, and keeps WAL until it is removed\n"
            f"  hint: when you are sure: stop what reads it; SELECT pg_drop_replication_slot({_text(name)}); "
            f'in "{live}": SELECT pg_create_logical_replication_slot({_text(name)}, {_text(plugin)}); '
            "then what reads it has to copy everything anew"
        )
    return told


def restored(server: Server, made: str, live: str) -> list[str]:
    """What to tell of the database MADE from a backup, which takes the place of LIVE: its subscriptions come back disabled."""
    return [
        f'the subscription "{name}" is restored, and disabled: what was published since the backup is not in its tables\n'
        f'  hint: in "{live}", when you are sure: TRUNCATE its tables; {_worded(ENABLE, name)}; '
        f"ALTER SUBSCRIPTION {_name(name)} REFRESH PUBLICATION, which copies them anew"
        for name, _ in _subscriptions(server, made)
    ]


def disable(server: Server, database: str, tell: Callable[[str], None]) -> None:
    """Have no data come into DATABASE, which goes out of use; what is refused is told, and ends nothing."""
    _switch(server, database, enabled(server, database), DISABLE, tell)


def enable(server: Server, database: str, names: Iterable[str], tell: Callable[[str], None]) -> None:
    """Have data come into DATABASE again, by the subscriptions NAMES; what is refused is told, and ends nothing."""
    _switch(server, database, names, ENABLE, tell)


def forget(server: Server, database: str) -> None:
    """Remove the subscriptions of DATABASE, which is to be removed; what publishes to them is not asked, and keeps its slots."""
    for name, on in _subscriptions(server, database):
        for statement in (*([DISABLE] if on else []), FORGET, DROP):
            _execute(server, database, _worded(statement, name))


def _switch(server: Server, database: str, names: Iterable[str], statement: str, tell: Callable[[str], None]) -> None:
    for name in names:
        asked = _worded(statement, name)
        try:
            _execute(server, database, asked)
        except BackupError as error:
            tell(f'in "{database}" it could not be done: {asked}: {error}\n  hint: do it by hand')


def _subscriptions(server: Server, database: str) -> list[tuple[str, bool]]:
    with server.connect() as session:
        return [(name, on) for name, on in session.execute(SUBSCRIPTIONS, (database,))]


def _execute(server: Server, database: str, statement: str) -> None:
    with server.connect(dbname=database) as session:
        session.execute(statement.encode())


def _worded(statement: str, name: str) -> str:
    return statement.format(_name(name))


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"

"""How quickly the database answers, and who keeps it from answering others."""

import re

from pytest_runbook import Idle, check


@check("daily", severity="P2", runbook="database-slow")
async def test_query_time_p95(database, facts, limits, measure):
    """Queries are quick: 95 % of them take less than 100 ms (guide G13).

    Looks at the queries of the next seconds: a fix shows at once, and what was slow long ago is over. When nobody asks
    anything meanwhile, it reads some rows of each of the application's tables itself.
    """
    try:
        seen, name = await database.statements_window(facts.database.query_window), "database.query_time.p95"
    except Idle:
        seen, name = await database.reads(facts.database.tables), "database.read_time.p95"
    assert measure(name, seen.p95, "s") < limits.database.query_time_p95, (
        f"the costliest statement takes {seen.slowest[0].mean:.3g} s a call: {seen.slowest[0].query}"
    )


@check("daily", severity="P2", runbook="database-slow")
async def test_no_long_transaction(database, facts, limits, measure):
    """No transaction works for longer than 10 minutes: it keeps locks, and VACUUM from cleaning up behind it.

    Backups may: of one that never ends, those of storage/freshness tell.
    """
    working = [session for session in _users(await database.activity(), facts) if not session.state.startswith("idle")]
    oldest = max(working, key=lambda session: session.transaction_age or 0, default=None)
    age = measure("database.transaction_age", (oldest.transaction_age or 0) if oldest else 0, "s")
    assert age < limits.database.transaction_age, f"{_who(oldest)} works on: {oldest and oldest.query}"


@check("daily", severity="P2", runbook="database-slow")
async def test_no_forgotten_transaction(database, facts, limits, measure):
    """No session sits idle inside a transaction for longer than 10 minutes (guide G43); a backup may, which holds a snapshot."""
    users = _users(await database.activity(), facts)
    sitting = [session for session in users if session.state.startswith("idle in transaction")]
    oldest = max(sitting, key=lambda session: session.state_age, default=None)
    age = measure("database.idle_in_transaction_age", oldest.state_age if oldest else 0, "s")
    assert age < limits.database.idle_in_transaction_age, f"{_who(oldest)} sits idle after: {oldest and oldest.query}"


@check("postdeploy daily", severity="P2", runbook="database-slow")
async def test_nobody_waits_for_a_lock(database, limits, measure):
    """No session has to wait long for another one's lock."""
    locks = await database.locks()
    waited = measure("database.lock_wait", locks.oldest, "s")
    assert waited < limits.database.lock_wait, (
        f"{len(locks.blocked)} sessions wait, the longest for process {locks.blocked[0].by}: {locks.blocked[0].query}"
    )


def _users(sessions, facts):
    """SESSIONS without those that take the time that they take: our own, and those whose name is protected."""
    spared = [re.compile(name, re.IGNORECASE) for name in facts.database.protected]
    return [one for one in sessions if not one.ours and not any(name.fullmatch(one.application) for name in spared)]


def _who(session):
    """The SESSION as a person finds it."""
    if session is None:
        return "nobody"
    return f'process {session.pid} of "{session.username}" ({session.application or "unnamed"} at {session.client})'

"""How much of what the database can hand out is in use."""

from pytest_runbook import check


@check("predeploy daily", severity="P2", runbook="database-connections")
async def test_connections(database, limits, measure):
    """The server has connections left: fewer than 90 % of max_connections are in use (guide G12)."""
    seen = await database.connections()
    assert measure("database.connections", seen.fraction, "ratio") < limits.database.connections, (
        f"{seen.used} of {seen.available} connections are in use, most by {_most(seen.by_application)}"
    )


@check("daily", severity="P2", runbook="database-connections")
async def test_pool(database, facts, limits, measure):
    """The application's pools together have connections left: fewer than 90 % of them are at work (guide G12).

    An idle connection lies in its pool and is free; one that works, or holds a transaction open, is taken. More than the
    server has they cannot get. Which worker process holds which connection the server does not know: that one pool is full
    while others have room is not seen here, but by those who wait for their page.
    """
    allowed = (facts.database.pool_size + facts.database.pool_overflow) * facts.web.workers
    assert allowed > 0, "the settings give the pools no connection: facts.database.pool_size, facts.web.workers"
    pool = min(allowed, (await database.connections()).available)
    sessions = [session for session in await database.activity() if not session.ours]
    taken = sum(session.state != "idle" for session in sessions)
    assert measure("database.pool", taken / pool, "ratio") < limits.database.connections, (
        f"{taken} of the {pool} connections that the application's pools can have are taken"
    )


@check("daily", severity="P2", runbook="replication-slot")
async def test_slots_keep_little_wal(database, limits, measure):
    """No replication slot fills the disk: what each keeps back for its reader is small, and no reader was cut off."""
    kept = {slot.name: slot for slot in (await database.replication()).slots}
    lost = [name for name, slot in kept.items() if slot.status in ("unreserved", "lost")]
    assert not lost, (
        f"the readers of these slots lose what they need, and will have to be set up anew: {', '.join(lost)}"
    )
    fullest = max(kept, key=lambda name: kept[name].retained, default="none")
    retained = kept[fullest].retained if kept else 0
    assert measure("database.slot_wal", retained, "B") < limits.database.slot_wal, (
        f'slot "{fullest}" keeps back too much'
    )


@check("monthly", severity="P3", runbook="indexes-bloated")
async def test_indexes_are_dense(database, limits, measure):
    """No index takes much more room than its entries need: what many changes have left empty is read all the same (guide G34).

    The need is estimated from the planner's statistics, for indexes of columns that are large enough to matter.
    """
    rows = await database.query(
        """
        SELECT i.indexrelid::regclass::text AS name,
               pg_relation_size(i.indexrelid) / (8192 + c.reltuples * (12 + 8 * ceil(widths.bytes / 8)) / 0.9) AS bloat
        FROM pg_index i
        JOIN pg_class c ON c.oid = i.indexrelid
        JOIN pg_class t ON t.oid = i.indrelid
        JOIN pg_namespace n ON n.oid = t.relnamespace
        CROSS JOIN LATERAL (
            SELECT sum(s.avg_width)::float8 AS bytes, count(*) AS known
            FROM pg_attribute a JOIN pg_stats s ON (s.schemaname, s.tablename, s.attname) = (n.nspname, t.relname, a.attname)
            WHERE a.attrelid = t.oid AND a.attnum = ANY (i.indkey::int2[])
        ) AS widths
        WHERE c.relkind = 'i' AND c.relam = (SELECT oid FROM pg_am WHERE amname = 'btree') AND n.nspname !~ '^pg_'
          AND c.reltuples > 0 AND widths.known = i.indnatts AND pg_relation_size(i.indexrelid) > %s
        """,
        [limits.database.index_size],
    )
    loosest = max(rows, key=lambda row: row["bloat"], default={"name": "none", "bloat": 1.0})
    assert measure("database.index_bloat", loosest["bloat"], "ratio") < limits.database.index_bloat, (
        f'index "{loosest["name"]}" is loose'
    )


def _most(counts):
    """`web (41), psql (3)`: the largest of COUNTS first."""
    largest = sorted(counts.items(), key=lambda item: -item[1])[:3]
    return ", ".join(f"{name} ({count})" for name, count in largest)

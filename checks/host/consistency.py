"""Whether the machine is set up as the system expects."""

from pytest_runbook import check, clock


@check("predeploy daily", severity="P2", runbook="clock-skew", unmeasured="P3")
async def test_clock_is_right(host, limits, measure):
    """The machine's clock is right to a second: its time service says so, or an NTP server."""
    seen = await host.clock()
    offset = measure("host.clock_offset", max(abs(seen.offset) - seen.uncertainty, 0.0), "s")
    assert offset < limits.host.clock_offset, f"the machine's clock is wrong, says {seen.source}"


@check("predeploy daily", severity="P2", runbook="clock-skew", needs="database cache")
async def test_clocks_agree(database, cache, limits, measure):
    """Database, cache and this machine tell the same time: sessions expire when they should, and logs fit together."""
    before = clock.now().timestamp()
    told = {
        "database": float(await database.one("SELECT extract(epoch FROM clock_timestamp())")),
        "cache": await cache.time(),
    }
    after = clock.now().timestamp()
    # An answer was made some time between question and answer: only what lies outside is a difference.
    apart = {name: max(before - time, time - after, 0.0) for name, time in told.items()}
    worst = max(apart, key=lambda name: apart[name])
    assert measure("host.clock_difference", apart[worst], "s") < limits.host.clock_difference, (
        f"the {worst} tells another time"
    )


@check("predeploy daily", severity="P1", runbook="folders-unusable")
def test_folders_are_there(host, facts):
    """Every folder that the system reads from and writes to is there."""
    missing = [facts.paths[name] for name in facts.host.folders if not host.file(facts.paths[name]).is_directory]
    assert not missing, f"no such folder: {', '.join(missing)}"

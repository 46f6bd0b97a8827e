"""Whether a disaster could be survived: the backup that lies off-site is restored where nobody uses it, and compared.

`pytest -m drill`; nothing of production is touched. One restore serves all of these; the certificate lies in var/drills.
"""

from pytest_runbook import check


@check("drill", severity="P1", runbook="drill-failed", timeout=60)
def test_database_is_restored(drill):
    """The database can be restored from off-site: every table, row, sequence, index and constraint is as it was (guide G36)."""
    assert not (faults := drill.faults("database")), _told(faults)


@check("drill", severity="P1", runbook="drill-failed", timeout=60)
def test_cache_is_restored(drill):
    """The cache can be restored from off-site: every key that has not expired since is there (guide G36)."""
    assert not (faults := drill.faults("cache")), _told(faults)


@check("drill", severity="P1", runbook="drill-failed", timeout=60)
def test_files_are_restored(drill):
    """Every file that was saved can be restored from off-site, and is what it was (guide G36)."""
    assert not (faults := drill.faults("files")), _told(faults)


@check("drill", severity="P1", runbook="drill-failed", timeout=60)
def test_restored_system_serves(drill):
    """The recovery checks pass on what was restored, with a web service on it where one can be started (guide G36, G49)."""
    assert not (faults := drill.faults("service")), _told(faults)


@check("drill", severity="P2", runbook="drill-failed", timeout=60)
def test_recovery_time(drill, measure):
    """A restored system serves within the time that the business can wait: drill.rto (guide G36)."""
    target = drill.target("rto")
    assert measure("drill.rto", target.seconds, "s") <= target.limit, "restoring takes longer than that"


@check("drill", severity="P2", runbook="drill-failed", timeout=60)
def test_recovery_point(drill, measure):
    """A disaster now would cost no more data than the business can lose: drill.rpo (guide G36)."""
    target = drill.target("rpo")
    assert measure("drill.rpo", target.seconds, "s") <= target.limit, "the newest row off-site is older than that"


def _told(faults):
    """The first of FAULTS."""
    more = f"; and {len(faults) - 5} more" if len(faults) > 5 else ""
    return "; ".join(faults[:5]) + more

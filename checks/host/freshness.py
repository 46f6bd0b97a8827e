"""Whether what has grown old on the machine is gone."""

from pytest_runbook import check


@check("daily", severity="P3", runbook="logs-old")
def test_old_logs_are_gone(host, facts, limits, measure):
    """No log is older than 30 days (guide G23)."""
    days = str(int(limits.logs.age // 86400))
    found = host.run("find %s -type f -name %s -mtime +%s", facts.paths.logs, "*.log*", days)
    assert found.rc == 0, f"the logs cannot be listed: {found.stderr.strip()}"
    old = found.stdout.splitlines()
    assert measure("logs.old", len(old)) == 0, f"older than {days} days: {', '.join(old[:3])}"

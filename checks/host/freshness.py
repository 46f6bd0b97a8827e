"""Whether what has grown old on the machine is gone."""

from pytest_runbook import Unmeasured, check


@check("daily", severity="P3", runbook="logs-old", unmeasured="P3")
def test_old_logs_are_gone(host, facts, limits, measure):
    """No log is older than 30 days (guide G23)."""
    days = str(int(limits.logs.age // 86400))
    found = host.run("find -H %s -type f -name %s -mtime +%s", facts.paths.logs, "*.log*", days)
    if found.rc != 0:
        raise Unmeasured(
            f"the logs cannot be listed: {found.stderr.strip()}\n"
            "  hint: correct facts.paths.logs, or let the user of the checks read it"
        )
    old = found.stdout.splitlines()
    assert measure("logs.old", len(old)) == 0, f"older than {days} days: {', '.join(old[:3])}"

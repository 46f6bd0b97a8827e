"""Whether the machine that the system runs on can be looked at."""

from pytest_runbook import check


@check("predeploy daily weekly", severity="P1", runbook="host-unreachable")
def test_answers(host):
    """The machine answers: a command runs on it."""
    done = host.run("echo %s", "here")
    assert done.stdout.strip() == "here", f"a simple command failed with status {done.rc}: {done.stderr.strip()}"

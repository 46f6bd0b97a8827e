"""Whether every change of the system that was begun has come to its end."""

from pytest_runbook import check


@check("predeploy postdeploy daily", severity="P1", runbook="half-done")
def test_nothing_is_half_done(changes):
    """No deployment and no restore was killed in the middle, or is held and waits for a person (guide G05, G48).

    One that is going on is no fault by itself. Deployments, restores and drills leave this out of the checks that they run.
    """
    left = changes.half_done()
    assert not left, "\n".join(left)

"""Whether what runs is what was deployed."""

from pytest_runbook import Unmeasured, check


@check("postdeploy daily", severity="P1", runbook="deployment-incomplete", needs="configuration")
async def test_version_served_is_the_version_deployed(web, facts):
    """Every worker of the web service runs the version that was deployed (guide G07)."""
    deployed = facts.deploy.version
    if not deployed:
        raise Unmeasured("nobody says which version was deployed: VERSION is not set")
    served = await web.values(facts.web.health, "version", requests=3 * facts.web.workers)
    assert served == {deployed}, f'version "{deployed}" was deployed, and "{", ".join(sorted(served))}" is served'

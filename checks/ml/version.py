"""Whether the prediction service that runs is what was deployed."""

import pytest
from pytest_runbook import Unmeasured, check


@check("postdeploy daily", severity="P1", runbook="deployment-incomplete", needs="configuration")
async def test_version_served_is_the_version_deployed(ml, settings, facts):
    """The prediction service runs the version that was deployed (guide G07).

    That is the system's, unless `deploy.versions.ml` says another. A deployment that leaves the service out asks nothing of it.
    """
    health = settings.deploy.health.get("ml")
    if "ml" not in settings.deploy.services or not health or not health.version:
        pytest.skip("it is not deployed with the others, or deploy.health.ml says no key that holds its version")
    deployed = settings.deploy.versions.get("ml", facts.deploy.version)
    if not deployed and "ml" in settings.deploy.versions:
        pytest.skip("this deployment leaves it out")
    if not deployed:
        raise Unmeasured("nobody says which version was deployed: VERSION is not set")
    served = await ml.values(health.path, health.version, requests=3)
    assert served == {deployed}, f'version "{deployed}" was deployed, and "{", ".join(sorted(served))}" is served'

"""Whether what runs is what was deployed."""

import asyncio

from pytest_runbook import Unmeasured, check


@check("postdeploy daily", severity="P1", runbook="deployment-incomplete", needs="configuration")
async def test_version_served_is_the_version_deployed(web, facts):
    """Every worker of the web service runs the version that was deployed (guide G07)."""
    deployed = facts.deploy.version
    if not deployed:
        raise Unmeasured("nobody says which version was deployed: VERSION is not set")
    # With a header, because one check asks equal questions only once; each look may meet another worker.
    fresh = {"Cache-Control": "no-cache"}
    answers = await asyncio.gather(*(web.get(facts.web.health, headers=fresh) for _ in range(3 * facts.web.workers)))
    served = {str(answer.json().get("version")) for answer in answers}
    assert served == {deployed}, f'version "{deployed}" was deployed, and "{", ".join(sorted(served))}" is served'

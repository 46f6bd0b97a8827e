"""Whether the certificate will still be good when the next person looks."""

from pytest_runbook import Unmeasured, check


@check("postdeploy weekly", severity="P2", runbook="certificate-expiring")
async def test_certificate_does_not_expire_soon(proxy, limits, measure):
    """The certificate that users are shown is good for at least 30 more days (guide G32)."""
    seen = await proxy.certificate()
    assert measure("proxy.certificate.days_left", seen.days_left, "days") > limits.certificate.days, (
        f"the certificate of {seen.subject} ends on {seen.not_after:%Y-%m-%d}"
    )


@check("postdeploy weekly", severity="P2", runbook="certificate-expiring")
async def test_certificate_names_the_domain(proxy, facts):
    """The certificate is for the domain that users type."""
    if not facts.proxy.domain:
        raise Unmeasured("nobody says which domain users type: DOMAIN_NAME is not set")
    seen = await proxy.certificate()
    domain = facts.proxy.domain.lower()
    wildcard = f"*.{domain.partition('.')[2]}"
    assert {domain, wildcard} & {name.lower() for name in seen.names}, (
        f'the certificate is for {", ".join(seen.names) or "nobody"}, and not for "{domain}"'
    )

"""Whether the system is reached from outside, over TLS, the most basic check first."""

from pytest_runbook import check


@check("predeploy postdeploy daily", severity="P1", runbook="proxy-unavailable")
async def test_tls_port_answers(proxy):
    """Somebody answers on the system's public address, and speaks TLS."""
    seen = await proxy.certificate()
    assert seen.subject or seen.names, "the certificate that is shown is for nobody"


@check("predeploy postdeploy daily weekly", severity="P1", runbook="certificate-expiring")
async def test_certificate_is_accepted(proxy):
    """Browsers accept the certificate: right name, known authority, not expired."""
    seen = await proxy.certificate()
    assert seen.verified, f"browsers refuse the certificate of {proxy.target}: {seen.error}"


@check("predeploy postdeploy daily", severity="P1", runbook="proxy-unavailable")
async def test_leads_to_the_web_service(proxy):
    """Users reach the web service through the proxy, and not its error page."""
    answer = await proxy.get("/health")
    assert answer.status_code == 200, f"the proxy answered {answer.status_code} for /health"
    assert answer.json().get("status") == "healthy", f'the proxy answered 200 and "{answer.text[:80]}" for /health'

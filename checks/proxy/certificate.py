"""Whether the certificate will still be good when the next person looks."""

from cryptography import x509
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


@check("postdeploy weekly", severity="P2", runbook="certificate-expiring", unmeasured="P3", needs="host")
async def test_certificate_is_the_one_on_disk(proxy, host, facts):
    """The proxy shows the certificate that lies on the disk: one that was renewed is in use (guide G32)."""
    text = await host.ask("certificate on the disk", lambda machine: _read(machine, facts.paths.certificate))
    try:
        lies = x509.load_pem_x509_certificate(text)
    except ValueError as error:
        raise Unmeasured(f'"{facts.paths.certificate}" is no certificate: {error}') from None
    seen = await proxy.certificate()
    assert (seen.not_before, seen.not_after) == (lies.not_valid_before_utc, lies.not_valid_after_utc), (
        f"the one on the disk is good until {lies.not_valid_after_utc:%Y-%m-%d}, the one in use until {seen.not_after:%Y-%m-%d}"
    )


def _read(machine, path):
    """Content of the file PATH of MACHINE."""
    file = machine.file(path)
    if not file.exists:
        raise Unmeasured(f'there is no certificate "{path}"\n  hint: correct facts.paths.certificate')
    return file.content

"""What can be wrong with the proxy, its certificate, and what it lets through."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta
from typing import cast

import trustme

from lab import tls, waiting
from lab.faults import fault
from lab.lab import Lab
from lab.servers.proxy import HEADERS, Proxy
from lab.site import HOST

REFUSED = [
    "proxy/availability::leads_to_the_web_service",
    "proxy/security::security_headers",
    "proxy/security::cookies_are_protected",
]
"""Checks that see nothing when the certificate is refused."""


@fault(
    "proxy-stopped",
    service="proxy",
    fails=["proxy/availability::tls_port_answers"],
    blocks=["proxy/*"],
    root="proxy/availability::tls_port_answers",
)
def stopped(lab: Lab) -> None:
    """The proxy does not run."""
    lab.stop_process("proxy")


@fault(
    "certificate-expired",
    service="proxy",
    fails=["proxy/availability::certificate_is_accepted"],
    blocks=[*REFUSED, "proxy/certificate::certificate_does_not_expire_soon"],
    root="proxy/availability::certificate_is_accepted",
    schedule="weekly",
)
def certificate_expired(lab: Lab) -> None:
    """The proxy shows a certificate that ended yesterday."""
    lab.issue_certificate(datetime.now(UTC) - timedelta(days=1))


@fault(
    "certificate-not-yet-valid",
    service="proxy",
    fails=["proxy/availability::certificate_is_accepted"],
    blocks=REFUSED,
    root="proxy/availability::certificate_is_accepted",
    schedule="weekly",
)
def certificate_not_yet_valid(lab: Lab) -> None:
    """The proxy shows a certificate that begins tomorrow."""
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    lab.issue_certificate(tomorrow + timedelta(days=90), begins=tomorrow)


@fault(
    "certificate-of-another-authority",
    service="proxy",
    fails=["proxy/availability::certificate_is_accepted"],
    blocks=REFUSED,
    root="proxy/availability::certificate_is_accepted",
    schedule="weekly",
    outcome="person",
)
def certificate_of_another_authority(lab: Lab) -> None:
    """The proxy shows a certificate of an authority that nobody knows."""
    lab.issue_certificate(datetime.now(UTC) + tls.VALIDITY, authority=trustme.CA(organization_name="Nobody"))


@fault(
    "certificate-expiring",
    service="proxy",
    fails=["proxy/certificate::certificate_does_not_expire_soon"],
    schedule="weekly",
)
def certificate_expiring(lab: Lab) -> None:
    """The proxy shows a certificate that ends in ten days."""
    lab.issue_certificate(datetime.now(UTC) + timedelta(days=10))


@fault(
    "certificate-for-another-name",
    service="proxy",
    fails=["proxy/certificate::certificate_names_the_domain"],
    schedule="weekly",
    outcome="person",
)
def certificate_for_another_name(lab: Lab) -> None:
    """The certificate is for the machine's own name, and not for the domain that users type."""
    lab.issue_certificate(datetime.now(UTC) + tls.VALIDITY, names=("localhost", HOST))


@fault(
    "certificate-not-loaded",
    service="proxy",
    fails=["proxy/certificate::certificate_is_the_one_on_disk"],
    schedule="weekly",
)
def certificate_not_loaded(lab: Lab) -> None:
    """The certificate was renewed, and nobody told the proxy."""
    lab.restart_when_healed("proxy")
    lab.restart_when_healed("proxy")  # which may have been told since
    for path in tls.certificate_files(lab.site):
        lab.replace_file(path, path.read_bytes())
    tls.issue(lab.site, datetime.now(UTC) + timedelta(days=90))


@fault(
    "certificate-without-its-key",
    service="proxy",
    fails=["proxy/certificate::certificate_is_the_one_on_disk"],
    schedule="weekly",
    outcome="still-failing",
)
def certificate_without_its_key(lab: Lab) -> None:
    """The certificate was renewed, and its key not put in place: the proxy can neither load it nor start with it."""
    certificate_not_loaded.inject(lab)
    _, key = tls.certificate_files(lab.site)
    lab.replace_file(key, trustme.CA().private_key_pem.bytes())


@fault(
    "proxy-misrouted",
    service="proxy",
    fails=["proxy/availability::leads_to_the_web_service"],
    blocks=["proxy/security::cookies_are_protected"],
    root="proxy/availability::leads_to_the_web_service",
)
def misrouted(lab: Lab) -> None:
    """The proxy passes requests on to where web was before; its file was corrected, and nobody told it."""
    proxy = cast("Proxy", lab.servers["proxy"])
    _configure(lab, proxy.configuration().replace(f":{lab.site.front('web')};", f":{lab.site.port('replica')};"))
    proxy.prepare()


@fault("proxy-plain-http", service="proxy", fails=["proxy/security::plain_http_is_redirected"], outcome="person")
def plain_http(lab: Lab) -> None:
    """The proxy serves pages without TLS instead of redirecting."""
    proxy = cast("Proxy", lab.servers["proxy"])
    redirect = "return 301 https://$host:"
    lines = proxy.configuration().splitlines()
    served = [
        f"location / {{ proxy_pass http://{HOST}:{lab.site.front('web')}; }}" if redirect in line else line
        for line in lines
    ]
    _configure(lab, "\n".join(served))


@fault("security-headers-missing", service="proxy", fails=["proxy/security::security_headers"], outcome="person")
def security_headers_missing(lab: Lab) -> None:
    """Neither proxy nor application tell browsers how to protect users."""
    lab.misbehave("web", no_security_headers=True)
    _configure(lab, cast("Proxy", lab.servers["proxy"]).configuration({}))


@fault("security-headers-weak", service="proxy", fails=["proxy/security::security_headers"], outcome="person")
def security_headers_weak(lab: Lab) -> None:
    """Any site may put the pages into a frame."""
    _configure(lab, cast("Proxy", lab.servers["proxy"]).configuration({**HEADERS, "X-Frame-Options": "ALLOWALL"}))


@fault("cookies-unprotected", service="proxy", fails=["proxy/security::cookies_are_protected"], outcome="person")
def cookies_unprotected(lab: Lab) -> None:
    """The session's cookie travels without TLS too, and scripts can read it."""
    lab.misbehave("web", insecure_cookie=True)


def _configure(lab: Lab, text: str) -> None:
    """Run the proxy with the configuration TEXT; its own is written again when it is restarted."""
    lab.restart_when_healed("proxy")
    lab.supervisor.stop("proxy")
    lab.site.path("proxy", "nginx.conf").write_text(text)
    lab.supervisor.launch("proxy")
    address = HOST, lab.site.port("proxy")
    waiting.until(lambda: socket.create_connection(address, timeout=1).close(), "the proxy listens", deadline=10)

"""The lab's own certificate authority, and the certificate that proxy and mail server show."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme

from lab.site import HOST, Site, write_private

NAMES = ("nightscan.example", "localhost", HOST)
VALIDITY = timedelta(days=397)
"""What public authorities gave at most for years."""


def authority_file(site: Site) -> Path:
    """The authority's certificate, for clients to trust."""
    return site.path("tls", "ca.pem")


def certificate_files(site: Site) -> tuple[Path, Path]:
    """Certificate chain and key."""
    return site.path("tls", "nightscan.pem"), site.path("tls", "nightscan.key")


def ensure(site: Site) -> None:
    """Make what is missing."""
    if not all(file.is_file() for file in certificate_files(site)):
        issue(site)


def issue(
    site: Site,
    expires: datetime | None = None,
    names: tuple[str, ...] = NAMES,
    *,
    begins: datetime | None = None,
    authority: trustme.CA | None = None,
) -> None:
    """Write a new certificate, by default of the lab's AUTHORITY; who serves it reads it when it starts."""
    now = datetime.now(UTC)
    end = expires or now + VALIDITY
    begin = begins or min(now, end) - timedelta(days=1)
    issued = (authority or _authority(site)).issue_cert(*names, not_before=begin, not_after=end, common_name=names[0])
    certificate, key = certificate_files(site)
    write_private(key, issued.private_key_pem.bytes().decode())
    chain = "".join(part.bytes().decode() for part in issued.cert_chain_pems)
    write_private(certificate, chain, mode=0o644)


def _authority(site: Site) -> trustme.CA:
    certificate, key = authority_file(site), site.path("tls", "ca.key")
    if certificate.is_file() and key.is_file():
        return trustme.CA.from_pem(certificate.read_bytes(), key.read_bytes())
    authority = trustme.CA(organization_name="NightScan lab")
    write_private(key, authority.private_key_pem.bytes().decode())
    write_private(certificate, authority.cert_pem.bytes().decode(), mode=0o644)
    return authority


if __name__ == "__main__":  # `python -m lab.tls FOLDER`: what renews the certificate of the lab in FOLDER
    issue(Site(sys.argv[1]))

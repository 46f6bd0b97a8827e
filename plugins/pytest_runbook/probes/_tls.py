"""TLS as a client meets it: which authorities are trusted, and the certificate that a server shows."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_runbook import clock
from pytest_runbook.errors import Unmeasured

if TYPE_CHECKING:
    from cryptography import x509


@dataclass(frozen=True, slots=True)
class Certificate:
    """A server's certificate, and whether a client would accept it."""

    subject: str
    """Distinguished name, RFC 4514."""
    names: tuple[str, ...]
    """Host names and addresses that it is for."""
    issuer: str
    not_before: datetime
    not_after: datetime
    """Both in UTC."""
    days_left: float
    """Days until `not_after`; negative once it is past."""
    verified: bool
    """Whether a chain to a trusted authority, the dates and the host name hold."""
    error: str = ""
    """Why it is not verified."""


@lru_cache(maxsize=32)
def context(verify: bool = True, ca_file: Path | None = None) -> ssl.SSLContext:
    """Client settings of TLS: the authorities of CA_FILE or else the system's; none with VERIFY off.

    Shared by all probes, because loading the system's authorities takes tens of milliseconds.
    """
    try:
        made = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except (OSError, ssl.SSLError) as error:
        reason = getattr(error, "strerror", None) or getattr(error, "reason", None) or error
        raise Unmeasured(f'CA file "{ca_file}" cannot be used: {reason}') from error
    if not verify:
        made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    return made


async def certificate(host: str, port: int, ca_file: Path | None = None) -> Certificate:
    """The certificate that HOST shows on PORT; raises OSError or ssl.SSLError when no handshake comes about.

    A certificate that does not verify is met a second time without verification, so that it is described all the same.
    """
    try:
        return _describe(await _shown(host, port, context(ca_file=ca_file)), error="")
    except ssl.SSLCertVerificationError as refused:
        why = refused.verify_message or str(refused)
    return _describe(await _shown(host, port, context(verify=False)), error=why)


async def _shown(host: str, port: int, trust: ssl.SSLContext) -> bytes:
    """The certificate in DER, after a whole handshake."""
    _, writer = await asyncio.open_connection(host, port, ssl=trust, server_hostname=host)
    try:
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    finally:
        # Not closed politely: what the server does with the end of the conversation is not the question.
        writer.transport.abort()
    return bytes(shown)


def _describe(der: bytes, error: str) -> Certificate:
    from cryptography import x509  # late: heavy

    try:
        seen = x509.load_der_x509_certificate(der)
        return Certificate(
            subject=seen.subject.rfc4514_string(),
            names=_names(seen),
            issuer=seen.issuer.rfc4514_string(),
            not_before=seen.not_valid_before_utc,
            not_after=seen.not_valid_after_utc,
            days_left=(seen.not_valid_after_utc - clock.now()).total_seconds() / 86_400,
            verified=not error,
            error=error,
        )
    except ValueError as bad:
        raise Unmeasured(f"the certificate cannot be read: {bad}") from bad


def _names(seen: x509.Certificate) -> tuple[str, ...]:
    from cryptography import x509  # late: heavy

    try:
        names = seen.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(str(name.value) for name in names if isinstance(name, x509.DNSName | x509.IPAddress))

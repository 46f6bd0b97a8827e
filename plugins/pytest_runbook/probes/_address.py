"""Addresses for people, and what went wrong on the way to one, in words: no secret, no library's vocabulary."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import urlsplit, urlunsplit

from pytest_runbook import clock
from pytest_runbook.errors import Unreachable

_SECRET_NAME = re.compile(r"pass|pwd|secret|token|key|sign|sig$|auth|code|session|credential|jwt", re.IGNORECASE)
_PAIR = re.compile(r"([^&=]+)=([^&]*)")

_SILENCE = (ConnectionRefusedError, ConnectionResetError, TimeoutError, FileNotFoundError)
"""The last is the socket's file, which goes with its server."""


def checked(url: str) -> str:
    """URL when it is the address of something that speaks HTTP, else ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an address such as http://host:port")
    if parts.port == 0:
        raise ValueError("the port must be 1 to 65535")
    return url


def public(url: str) -> str:
    """URL without user, password and fragment, and with the values of parameters that sound secret masked."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url.rpartition("@")[2]
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, _PAIR.sub(_masked, parts.query), ""))


def led(url: str, via: IPv4Address | IPv6Address) -> str:
    """URL with the address VIA in place of its host; one that has no host, or is no URL, as it is."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, f":{parts.port}" if parts.port else ""
    except ValueError:
        return url
    user, at, _ = parts.netloc.rpartition("@")
    address = f"[{via}]" if via.version == 6 else str(via)
    return urlunsplit(parts._replace(netloc=f"{user}{at}{address}{port}")) if host else url


def _masked(pair: re.Match[str]) -> str:
    name, value = pair.groups()
    return f"{name}=****" if _SECRET_NAME.search(name) else f"{name}={value}"


def unreachable(url: str, error: BaseException, seconds: float) -> Unreachable | None:
    """What kept ERROR's caller from URL within SECONDS, in words; None when ERROR is no trouble of the connection."""
    for cause in _causes(error):
        words = _words(cause, seconds)
        if words:
            return Unreachable(f'"{public(url)}" {words}')
    return None


def silent(error: BaseException) -> bool:
    """Whether ERROR says that nobody serves there: refused, reset or late.

    Of a name that does not resolve, a certificate that is not accepted, or a way that leads nowhere nobody can tell.
    """
    causes = [*_causes(error)]
    unseen = any(isinstance(cause, socket.gaierror | ssl.SSLError) for cause in causes)
    return not unseen and any(isinstance(cause, _SILENCE) for cause in causes)


def _words(error: BaseException, seconds: float) -> str:
    match error:
        case socket.gaierror():
            return f"does not resolve: {error.strerror or error}"
        case UnicodeError():
            return "does not resolve: not a host name"
        case ConnectionRefusedError():
            return "refused the connection"
        case ConnectionResetError() | BrokenPipeError() | ConnectionAbortedError():
            return "reset the connection"
        case ssl.SSLCertVerificationError():
            return f"shows a certificate that does not verify: {error.verify_message or error}"
        case ssl.SSLError():
            return f"does not complete a TLS handshake: {(error.reason or str(error)).lower().replace('_', ' ')}"
        case TimeoutError():
            return f"did not answer within {clock.duration(seconds)}"
        case OSError() if error.errno:
            return f"cannot be reached: {(error.strerror or str(error)).lower()}"
        case _:
            return ""


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """ERROR and what led to it, the innermost first: libraries wrap what the operating system said."""
    seen: list[BaseException] = []
    pending = [error]
    while pending:
        one = pending.pop(0)
        if one is None or any(one is known for known in seen):
            continue
        seen.append(one)
        pending += one.exceptions if isinstance(one, BaseExceptionGroup) else ()
        pending += (one.__cause__, one.__context__)
    return reversed(seen)

"""Tells which machine the address of a server leads to."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any

import psutil


def here(address: Mapping[str, Any]) -> bool:
    """Whether ADDRESS leads to this machine, and nowhere else."""
    return _machines(address) == {"here"}


def same_place(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two addresses lead to the same port of the same machine."""
    ports = {str(address.get("port") or 5432) for address in (one, other)}
    return len(ports) == 1 and bool(_machines(one) & _machines(other))


def _machines(address: Mapping[str, Any]) -> set[str]:
    """IP addresses that ADDRESS leads to; each of this machine's own is `here`."""
    named = str(address.get("hostaddr") or address.get("host") or "localhost")
    if named.startswith("/"):
        return {"here"}
    found: set[str] = set()
    for host in named.split(","):
        try:
            found |= {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
        except OSError:
            found.add(host)
    own = {entry.address.partition("%")[0] for entries in psutil.net_if_addrs().values() for entry in entries}
    return {"here" if one in own or one.startswith("127.") or one in ("::1", "0.0.0.0", "::") else one for one in found}  # noqa: S104

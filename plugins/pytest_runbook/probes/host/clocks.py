"""How far a machine's clock is off: what its time service says, and what a comparison with a clock elsewhere says.

Offsets are seconds, positive when the machine's clock is ahead.
"""

from __future__ import annotations

import re
import secrets
import socket
import struct
from dataclasses import dataclass, replace

from pytest_runbook import clock
from pytest_runbook.errors import Unmeasured, Unreachable
from pytest_runbook.probes.host.reader import Reader

NTP_EPOCH = 2_208_988_800
"""Seconds from 1900, where NTP begins to count, to 1970."""
UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True, slots=True)
class Clock:
    """How far a machine's clock is off."""

    offset: float
    """Seconds, positive when it is ahead."""
    uncertainty: float
    """Seconds that the offset may be wrong by, because asking takes time; 0 for what a time service says."""
    source: str
    """Who says so: `chrony`, `systemd-timesyncd`, `NTP server NAME`, or `reference`, with which the caller compared."""


def told(reader: Reader, server: str, timeout: float) -> tuple[Clock | None, list[str]]:
    """The clock by the machine's own time service, else by NTP SERVER where one is named; or why neither tells."""
    reasons: list[str] = []
    for ask in (_chrony, _timesyncd):
        try:
            found = ask(reader)
        except Unmeasured as error:
            reasons.append(str(error))
        else:
            if found:
                return found, []
    if server:
        return plus(sntp(server, timeout), ahead(reader)), []
    return None, reasons or ["no time service runs there"]


def _chrony(reader: Reader) -> Clock | None:
    done = reader.run("LC_ALL=C chronyc -n tracking")
    return chrony(done.stdout) if done.rc == 0 else None


def _timesyncd(reader: Reader) -> Clock | None:
    done = reader.run("LC_ALL=C timedatectl timesync-status")
    return timesyncd(done.stdout) if done.rc == 0 else None


def chrony(text: str) -> Clock:
    """What `chronyc tracking` prints; Unmeasured when chronyd follows no source."""
    found = re.search(r"^System time\s+: ([\d.]+) seconds (slow|fast) of NTP time", text, re.MULTILINE)
    leap = re.search(r"^Leap status\s+: (.*)$", text, re.MULTILINE)
    if not found or not leap:
        raise Unmeasured("chronyd does not tell the offset")
    if leap[1].strip() == "Not synchronised":
        raise Unmeasured("chronyd runs and is not synchronised")
    return Clock(float(found[1]) * (1 if found[2] == "fast" else -1), 0.0, "chrony")


def timesyncd(text: str) -> Clock:
    """What `timedatectl timesync-status` prints: its offset is what the clock lacks."""
    found = re.search(r"^\s*Offset: ([+-]?)(.+)$", text, re.MULTILINE)
    spans = re.findall(r"([\d.]+)(us|ms|s|min|h|d)\b", found[2]) if found else []
    if not found or not spans:
        raise Unmeasured("systemd-timesyncd runs and has not reached its server")
    seconds = sum(float(number) * UNITS[unit] for number, unit in spans)
    return Clock(seconds if found[1] == "-" else -seconds, 0.0, "systemd-timesyncd")


def sntp(server: str, timeout: float) -> Clock:
    """How far the clock of *this* machine is off, asked of NTP SERVER, `HOST` or `HOST:PORT`."""
    host, _, port = server.partition(":")
    cookie = secrets.token_bytes(8)  # in place of our time: who answers must repeat it, and does not learn our clock
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, int(port or 123), type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as wire:
            wire.settimeout(timeout)
            wire.connect(address)
            asked = clock.now().timestamp()
            wire.send(struct.pack("!B39x", 0x23) + cookie)  # version 4, client
            answer = wire.recv(512)
            answered = clock.now().timestamp()
    except OSError as error:
        raise Unreachable(f'NTP server "{server}" did not answer: {error}') from None
    if len(answer) < 48 or answer[24:32] != cookie or answer[0] & 7 != 4:
        raise Unmeasured(f'NTP server "{server}" gives an answer that is none')
    if answer[0] >> 6 == 3 or not 0 < answer[1] < 16:
        raise Unmeasured(f'NTP server "{server}" is not synchronised itself')
    told = (_moment(answer[32:40]) + _moment(answer[40:48])) / 2
    return between(asked, told, answered, f"NTP server {server}")


def between(asked: float, told: float, answered: float, source: str) -> Clock:
    """The clock that read ASKED before and ANSWERED after SOURCE told the time TOLD, all in seconds since 1970."""
    return Clock((asked + answered) / 2 - told, (answered - asked) / 2, source)


def ahead(reader: Reader) -> Clock:
    """How far the clock of READER's machine is ahead of ours; nothing when it is ours."""
    if reader.local:
        return Clock(0.0, 0.0, "")
    asked, said, answered = clock.now().timestamp(), reader.said("date +%s.%N"), clock.now().timestamp()
    whole, _, part = said.partition(".")
    # BusyBox tells whole seconds only: it was half a second later, more or less.
    told, coarse = (float(said), 0.0) if part.isdigit() else (float(whole) + 0.5, 0.5)
    seen = between(asked, told, answered, "")
    return replace(seen, offset=-seen.offset, uncertainty=seen.uncertainty + coarse)


def plus(one: Clock, other: Clock) -> Clock:
    """ONE's clock corrected by OTHER."""
    return replace(one, offset=one.offset + other.offset, uncertainty=one.uncertainty + other.uncertainty)


def _moment(packed: bytes) -> float:
    seconds, fraction = struct.unpack("!II", packed)
    return float(seconds - NTP_EPOCH + fraction / 2**32)

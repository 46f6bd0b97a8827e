"""The time server: tells the machine's own time by SNTP, so that a machine without a time service can be compared, too."""

from __future__ import annotations

import socket
import struct
import sys
import time
from pathlib import Path
from typing import ClassVar

from lab.servers import Process, Server
from lab.site import HOST, Site

EPOCH = 2_208_988_800
"""Seconds from 1900, where NTP begins to count, to 1970."""
SERVER = 0x24
"""Version 4, in the role of a server, no leap second ahead."""
STRATUM = 3


def offset_file(site: Site) -> Path:
    """Where it stands by how many seconds the machine's clock is wrong; no file: it is right.

    Nobody may set a laptop's clock for a test: instead of it the time that the server tells is moved.
    """
    return site.path("clock-offset")


def correct(site: Site) -> list[str]:
    """The command that sets the clock right, as far as the time server can tell."""
    return ["rm", "-f", str(offset_file(site))]


def answer(question: bytes, wrong: float = 0.0) -> bytes:
    """The reply to one datagram, for a clock that is WRONG by seconds; a client knows it by the time stamp that it sent."""
    now = struct.pack("!Q", round((time.time() - wrong + EPOCH) * 2**32))
    return struct.pack("!BBBb", SERVER, STRATUM, 6, -20) + bytes(12) + now + question[40:48] + now + now


def serve(port: int, offset: Path) -> None:
    """Answer until killed; OFFSET is the file that says how wrong the clock is."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
        wire.bind((HOST, port))
        while True:
            question, client = wire.recvfrom(512)
            if len(question) >= 48:
                wire.sendto(answer(question, float(offset.read_text()) if offset.exists() else 0.0), client)


class TimeServer(Server):
    """The time server as a process of the lab."""

    name = "ntp"
    ports: ClassVar[tuple[str, ...]] = ("ntp",)

    def process(self) -> Process:
        """This module."""
        return Process.of_module(__name__, [str(self.site.port("ntp")), str(offset_file(self.site))])

    def ready(self) -> None:
        """It answers a question."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
            wire.settimeout(1)
            wire.connect((HOST, self.site.port("ntp")))
            wire.send(b"\x23" + bytes(47))
            wire.recv(512)


if __name__ == "__main__":
    serve(int(sys.argv[1]), Path(sys.argv[2]))

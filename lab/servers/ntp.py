"""The time server: tells the machine's own time by SNTP, so that a machine without a time service can be compared, too."""

from __future__ import annotations

import os
import socket
import struct
import time
from typing import ClassVar

from lab.servers import Process, Server
from lab.site import HOST

EPOCH = 2_208_988_800
"""Seconds from 1900, where NTP begins to count, to 1970."""
SERVER = 0x24
"""Version 4, in the role of a server, no leap second ahead."""
STRATUM = 3


def answer(question: bytes) -> bytes:
    """The reply to one datagram; a client knows it by the time stamp that it sent."""
    now = struct.pack("!Q", round((time.time() + EPOCH) * 2**32))
    return struct.pack("!BBBb", SERVER, STRATUM, 6, -20) + bytes(12) + now + question[40:48] + now + now


def serve(port: int) -> None:
    """Answer until killed."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
        wire.bind((HOST, port))
        while True:
            question, client = wire.recvfrom(512)
            if len(question) >= 48:
                wire.sendto(answer(question), client)


class TimeServer(Server):
    """The time server as a process of the lab."""

    name = "ntp"
    ports: ClassVar[tuple[str, ...]] = ("ntp",)

    def process(self) -> Process:
        """This module."""
        return Process.of_module(__name__, environment={"LAB_NTP_PORT": str(self.site.port("ntp"))})

    def ready(self) -> None:
        """It answers a question."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
            wire.settimeout(1)
            wire.connect((HOST, self.site.port("ntp")))
            wire.send(b"\x23" + bytes(47))
            wire.recv(512)


if __name__ == "__main__":
    serve(int(os.environ["LAB_NTP_PORT"]))

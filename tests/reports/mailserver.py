"""Real mail servers for the tests: with STARTTLS and AUTH as the settings want them, or ill in the ways servers are."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP as POLICY
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword

USER, PASSWORD = "runbook", "correct horse"


@dataclass(frozen=True)
class Secret:
    value: str

    def get_secret_value(self) -> str:
        return self.value


@dataclass(frozen=True)
class Settings:
    """What `settings.mail` is to the sender."""

    port: int
    host: str | None = "127.0.0.1"
    user: str | None = None
    password: Secret | None = None
    security: Any = "none"
    ca_file: Path | None = None
    sender: str | None = "Runbook <runbook@nightscan.example>"
    recipients: tuple[str, ...] = ("devops@nightscan.example",)
    timeout: float = 2.0


@dataclass
class Inbox:
    """What a server received, and the answers it gives instead of taking a mail."""

    mails: list[EmailMessage] = field(default_factory=list)
    envelopes: list[Envelope] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    """Recipient, or word in the subject, to the answer that it gets."""

    async def handle_RCPT(  # noqa: N802 - the name is the server's
        self, _server: Any, _session: Any, envelope: Envelope, address: str, _options: Any
    ) -> str:
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        message = message_from_bytes(envelope.content, policy=POLICY)
        for word, answer in self.refused.items():
            if word in message["Subject"]:
                return answer
        self.mails.append(message)
        self.envelopes.append(envelope)
        return "250 taken"


def _login(_server: Any, _session: Any, _envelope: Any, _mechanism: str, given: Any) -> AuthResult:
    good = LoginPassword(USER.encode(), PASSWORD.encode())
    return AuthResult(success=given == good, handled=given == good)


class _Server(Controller):
    """With the options of the protocol given as they are."""

    def __init__(self, inbox: Inbox, options: dict[str, Any], tls: ssl.SSLContext | None) -> None:
        self._options = options
        super().__init__(inbox, hostname="127.0.0.1", port=_free_port(), ssl_context=tls)

    def factory(self) -> SMTP:
        return SMTP(self.handler, hostname="mail.nightscan.example", **self._options)


@contextmanager
def serving(
    inbox: Inbox, *, tls: ssl.SSLContext | None = None, starttls: ssl.SSLContext | None = None
) -> Iterator[int]:
    """A server that fills INBOX, on the port it answers; with STARTTLS it wants a log-in."""
    options: dict[str, Any] = {}
    if starttls:
        options = {"tls_context": starttls, "require_starttls": True, "auth_required": True, "authenticator": _login}
    server = _Server(inbox, options, tls)
    server.start()
    try:
        yield server.port
    finally:
        server.stop()


@contextmanager
def silent(trickle: bytes = b"") -> Iterator[int]:
    """A server that accepts and then says nothing, or TRICKLE byte by byte for ever."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stopped = threading.Event()

        def serve() -> None:
            listener.settimeout(0.05)
            held: list[socket.socket] = []
            while not stopped.is_set():
                with suppress(TimeoutError):
                    held.append(listener.accept()[0])
                for connection in held:
                    with suppress(OSError):
                        connection.sendall(trickle)
                time.sleep(0.05)
            for connection in held:
                connection.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            stopped.set()
            thread.join()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def closed_port() -> int:
    """A port where nobody listens."""
    return _free_port()

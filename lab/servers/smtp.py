"""The mail server: takes every message, over STARTTLS and with a password only, and keeps it in an inbox one can read."""

from __future__ import annotations

import asyncio
import os
import smtplib
import ssl
import time
from contextlib import suppress
from email.message import EmailMessage, Message
from email.parser import BytesParser
from email.policy import default
from itertools import count
from pathlib import Path

from lab.servers import Process, Server
from lab.site import HOST
from lab.tls import certificate_files
from lab.waiting import NotReady

USER = "nightscan"


class Mail(Server):
    """The sink as a process of the lab."""

    name = "mail"
    ports = ("mail",)
    fronted = True

    @property
    def inbox(self) -> Path:
        """One `.eml` file for each message."""
        return self.site.path("inbox")

    def prepare(self) -> None:
        """The inbox; what is in it stays."""
        self.inbox.mkdir(mode=0o700, exist_ok=True)

    def process(self) -> Process:
        """This module."""
        certificate, key = certificate_files(self.site)
        environment = {
            "LAB_MAIL_PORT": str(self.site.port("mail")),
            "LAB_MAIL_PASSWORD": self.site.secret("mail"),
            "LAB_MAIL_INBOX": str(self.inbox),
            "LAB_MAIL_CERTIFICATE": str(certificate),
            "LAB_MAIL_KEY": str(key),
        }
        return Process.of_module(__name__, environment=environment)

    def ready(self) -> None:
        """It greets."""
        try:
            with smtplib.SMTP(HOST, self.site.port("mail"), timeout=3) as client:
                client.noop()
        except smtplib.SMTPException as error:
            raise NotReady(str(error)) from error

    def messages(self) -> list[EmailMessage]:
        """What arrived, oldest first."""
        parser = BytesParser(policy=default)
        return [parser.parsebytes(file.read_bytes()) for file in sorted(self.inbox.glob("*.eml"))]


async def serve() -> None:
    """Take mail until told to stop."""
    # Late, because only this process needs it.
    from aiosmtpd.handlers import AsyncMessage
    from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

    inbox, numbers = Path(os.environ["LAB_MAIL_INBOX"]), count()
    password = os.environ["LAB_MAIL_PASSWORD"].encode()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(os.environ["LAB_MAIL_CERTIFICATE"], os.environ["LAB_MAIL_KEY"])

    class Inbox(AsyncMessage):
        """Keeps each message, with the envelope as headers."""

        async def handle_message(self, message: Message) -> None:
            name = f"{time.time():.6f}-{os.getpid()}-{next(numbers):06}"
            (inbox / f"{name}.part").write_bytes(message.as_bytes())
            (inbox / f"{name}.part").rename(inbox / f"{name}.eml")

    def authenticate(
        _server: object, _session: object, _envelope: object, _mechanism: str, given: object
    ) -> AuthResult:
        right = isinstance(given, LoginPassword) and given == LoginPassword(USER.encode(), password)
        return AuthResult(success=right, handled=False)

    def session() -> SMTP:
        return SMTP(
            Inbox(),
            hostname="mail.lab",
            tls_context=tls,
            require_starttls=True,
            auth_required=True,
            authenticator=authenticate,
        )

    server = await asyncio.get_running_loop().create_server(session, HOST, int(os.environ["LAB_MAIL_PORT"]))
    await server.serve_forever()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(serve())

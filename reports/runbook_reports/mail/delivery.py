"""Speaks SMTP: connects as the settings say, hands over messages, and tells what may be tried again from what may not."""

from __future__ import annotations

import smtplib
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from ipaddress import ip_address

from runbook_reports import wording
from runbook_reports.mail import MailSettings


class Later(Exception):
    """The server could not be reached or does not take mail now; the message is as good as before."""


class Never(Exception):
    """The server will not have this message, today or tomorrow."""


@contextmanager
def conversation(settings: MailSettings) -> Iterator[smtplib.SMTP]:
    """A server ready to take mail; raises Later."""
    try:
        client = _connected(settings)
    except (OSError, smtplib.SMTPException) as error:
        raise Later(f"{settings.host}:{settings.port}: {reason(error)}") from error
    try:
        yield client
        client.quit()
    except smtplib.SMTPException:
        pass  # a server that hangs up after taking the mail has taken it
    finally:
        client.close()


def hand_over(client: smtplib.SMTP, message: EmailMessage) -> list[str]:
    """Give MESSAGE to the server; the recipients it refused, when it took it for others. Raises Later or Never."""
    try:
        refused = client.send_message(message)
    except smtplib.SMTPRecipientsRefused as error:
        answers = "; ".join(_refused(error.recipients))
        temporary = any(code < 500 for code, _ in error.recipients.values())
        raise (Later if temporary else Never)(answers) from error
    except (smtplib.SMTPNotSupportedError, ValueError) as error:
        raise Never(reason(error)) from error
    except smtplib.SMTPResponseException as error:
        raise (Never if error.smtp_code >= 500 else Later)(reason(error)) from error
    except (OSError, smtplib.SMTPException) as error:
        raise Later(reason(error)) from error
    return _refused(refused)


def reason(error: Exception) -> str:
    """ERROR in a few words for a person who knows the settings and not smtplib."""
    if isinstance(error, smtplib.SMTPResponseException):
        said = error.smtp_error.decode("utf-8", "replace") if isinstance(error.smtp_error, bytes) else error.smtp_error
        return f"the server answered {error.smtp_code} {wording.one_line(said, 200)}"
    # smtplib tells a time-out while it reads as a disconnection.
    if isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError):
        return "no answer in time"
    if isinstance(error, smtplib.SMTPServerDisconnected):
        return "the server hung up"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not trusted: {error.verify_message}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__


def _connected(settings: MailSettings) -> smtplib.SMTP:
    # Without a name of our own smtplib asks the DNS for one, which may hang where this runs.
    ours, host = socket.gethostname() or "localhost", settings.host or ""
    if settings.security == "tls":
        tls = smtplib.SMTP_SSL(host, settings.port, ours, timeout=settings.timeout, context=_context(settings))
        return _logged_in(tls, settings)
    client = smtplib.SMTP(host, settings.port, ours, timeout=settings.timeout)
    try:
        if settings.security == "starttls":
            client.starttls(context=_context(settings))
        elif settings.user and not _is_local(host):
            raise smtplib.SMTPException('refused to send a password in the clear\n  hint: set "mail.security"')
    except BaseException:
        client.close()
        raise
    return _logged_in(client, settings)


def _logged_in(client: smtplib.SMTP, settings: MailSettings) -> smtplib.SMTP:
    try:
        if settings.user:
            client.login(settings.user, settings.password.get_secret_value() if settings.password else "")
    except BaseException:
        client.close()
        raise
    return client


def _context(settings: MailSettings) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(settings.ca_file) if settings.ca_file else None)


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _refused(recipients: dict[str, tuple[int, bytes]]) -> list[str]:
    answers = (
        (who, code, wording.one_line(said.decode("utf-8", "replace"), 200)) for who, (code, said) in recipients.items()
    )
    return [f'"{who}" was refused: {code} {said}' for who, code, said in answers]

"""Mails the summary of a run; what cannot be sent is kept for the next run, and never decides about this one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from email.message import EmailMessage

    from pytest_runbook.model import RunRecord

    from runbook_reports import Writer

__all__ = ["MailSettings", "Secret", "send", "writer"]


class Secret(Protocol):
    """A password that does not show itself."""

    def get_secret_value(self) -> str:
        """The password."""


class MailSettings(Protocol):
    """How mail is sent; the section `mail` of the settings fits."""

    @property
    def host(self) -> str | None:
        """Mail server; none, no mail."""

    @property
    def port(self) -> int:
        """587 for starttls, 465 for tls, 25 for none."""

    @property
    def user(self) -> str | None:
        """Who logs in; none, nobody does."""

    @property
    def password(self) -> Secret | None:
        """What USER logs in with."""

    @property
    def security(self) -> Literal["starttls", "tls", "none"]:
        """Whether the conversation is encrypted, and from when."""

    @property
    def ca_file(self) -> Path | None:
        """Certificates to trust; none, those of the system."""

    @property
    def sender(self) -> str | None:
        """`address` or `Name <address>`."""

    @property
    def recipients(self) -> Sequence[str]:
        """Each an `address` or `Name <address>`."""

    @property
    def timeout(self) -> float:
        """Seconds that the server may take for one answer."""


def writer(settings: MailSettings, outbox: Path, page: Path | None = None) -> Writer:
    """For `publish(…, also=[…])`: mails the summary with PAGE attached; what goes wrong joins the record's problems."""

    def mail(record: RunRecord) -> list[Path]:
        from runbook_reports.mail.message import compose

        try:
            message = compose(record, settings, page)
        except ValueError as error:
            record.problems.append(f"no mail was sent: {error}")
        else:
            record.problems += send(message, settings, outbox)
        return []

    return mail


def send(message: EmailMessage, settings: MailSettings, outbox: Path) -> list[str]:
    """Send MESSAGE, then what earlier runs left in OUTBOX; the problems there were. Raises nothing."""
    # Late: a run that sends no mail does not pay for it.
    from runbook_reports.mail.outbox import send_all

    try:
        return send_all(message, settings, outbox)
    except Exception as error:  # mail is news about a run: whatever is wrong with it must not become the run's end
        return [f'mail "{message["Subject"]}" was not sent: {type(error).__name__}: {error}']

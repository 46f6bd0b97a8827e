"""Writes the mail of a run: subject, text and HTML from templates, the page attached."""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path

from pytest_runbook import clock
from pytest_runbook.model import RunRecord, Severity

from runbook_reports import text, wording
from runbook_reports.mail import MailSettings
from runbook_reports.story import Story
from runbook_reports.templates import templates

PLAIN, LARGEST = 5_000_000, 15_000_000
"""Bytes up to which the page is attached as it is, and up to which at all: mail servers refuse more than about 25 MB."""
_HERE = Path(__file__).parent


def compose(record: RunRecord, settings: MailSettings, page: Path | None = None) -> EmailMessage:
    """The mail about RECORD; raises ValueError naming the setting that does not allow one."""
    for name in ("host", "sender", "recipients"):
        if not getattr(settings, name):
            raise ValueError(f'"mail.{name}" is not set\n  hint: set it in the settings, or run without --mail')
    story = Story(record)
    sender = _address("sender", settings.sender or "")
    message = EmailMessage(policy=SMTP)
    message["Subject"] = wording.one_line(_filled("subject.txt", story=story), 200)
    message["From"] = sender
    message["To"] = [_address("recipients", recipient) for recipient in settings.recipients]
    message["Date"] = format_datetime(clock.now())
    message["Message-ID"] = f"<{_identity(record)}@{sender.domain}>"
    # Answers of holiday machines to a nightly report help nobody.
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"
    if story.severity == Severity.P1:
        message["Importance"] = "high"
    attachment, remark = _packed(page)
    parts = {"story": story, "record": record, "remark": remark}
    summary = text.summary(record, width=76)
    message.set_content(_filled("text.txt", summary=summary, **parts), cte="quoted-printable")
    message.add_alternative(_filled("body.html", **parts), subtype="html", cte="quoted-printable")
    if attachment and page:
        kind = ("text", "html") if attachment.suffix == ".html" else ("application", "zip")
        message.add_attachment(attachment.content, *kind, filename=f"{record.id}{attachment.suffix}")
    return message


class _Attachment:
    def __init__(self, content: bytes, suffix: str) -> None:
        self.content, self.suffix = content, suffix


def _packed(page: Path | None) -> tuple[_Attachment | None, str]:
    """PAGE as it is attached, and what the mail says about it."""
    if page is None or not page.is_file():
        return None, "There is no page of this run."
    content = page.read_bytes()
    if len(content) <= PLAIN:
        return _Attachment(content, ".html"), "The page with everything that was seen is attached."
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(page.name, content)
    if packed.tell() <= LARGEST:
        return _Attachment(packed.getvalue(), ".zip"), "The page with everything that was seen is attached, packed."
    return None, f"The page is too large for a mail: {page}"


def _address(setting: str, value: str) -> Address:
    """VALUE as the address of one person; raises ValueError for anything else, such as a second header."""
    named = re.fullmatch(r"(?P<name>[^<>\r\n]*)<(?P<address>[^<>\r\n]*)>\s*", value)
    name, address = (named["name"].strip(' "'), named["address"]) if named else ("", value.strip())
    try:
        if not re.fullmatch(r"[^\s@<>,;]+@[^\s@<>,;]+", address):
            raise ValueError("no such form")
        return Address(name, addr_spec=address)
    except Exception as error:  # the parser of addresses raises half a dozen kinds
        raise ValueError(f'"mail.{setting}" has "{wording.one_line(value)}", which is not an address') from error


def _identity(record: RunRecord) -> str:
    """The same for the same run, so that a mail sent twice is seen once."""
    known = re.sub(r"[^A-Za-z0-9-]", "", record.id)
    digest = hashlib.sha256(
        f"{record.id} {record.system} {record.environment} {record.host}".encode("utf-8", "replace")
    )
    return f"{known}.{digest.hexdigest()[:12]}"


def _filled(name: str, **values: object) -> str:
    return templates(_HERE / "templates").get_template(name).render(**values)

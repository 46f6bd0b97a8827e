"""Mail of a run: three forms of one message, over a real conversation, kept when there is nobody to take it."""

from __future__ import annotations

import fcntl
import io
import os
import ssl
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from email.message import EmailMessage, MIMEPart
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
import trustme
from pytest_runbook.model import RunRecord
from runbook_reports import html, mail, publish
from runbook_reports.mail.message import compose

from tests.reports.mailserver import PASSWORD, USER, Inbox, Secret, Settings, closed_port, serving, silent
from tests.reports.treated import TREATED, remediated

Golden = Callable[[str, str], None]


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def server(inbox: Inbox) -> Iterator[Settings]:
    """A plain server; its settings."""
    with serving(inbox) as port:
        yield Settings(port)


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def secured(authority: trustme.CA, tmp_path: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's TLS context, and the file of the authority that vouches for it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return context, tmp_path / "ca.pem"


@pytest.fixture
def outbox(tmp_path: Path) -> Path:
    return tmp_path / "outbox"


def new(subject: str, number: int = 0) -> EmailMessage:
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = subject, "a@nightscan.example", "b@nightscan.example"
    message["Message-ID"] = f"<run-{number}@nightscan.example>"
    message.set_content("text")
    return message


# The message


def test_the_message_reads_as_agreed(ill: RunRecord, green: RunRecord, golden: Golden) -> None:
    for name, record in (("ill", ill), ("green", green)):
        message = compose(record, Settings(1))
        text, markup = message.get_body(("plain",)), message.get_body(("html",))
        assert text and markup
        golden(f"mail.{name}.txt", f"{message['Subject']}\n\n{_clean(text)}")
        golden(f"mail.{name}.html", _clean(markup))


@pytest.mark.parametrize("treated", TREATED, ids=lambda function: function.__name__)
def test_the_message_tells_what_runbooks_did(treated: Callable[[], RunRecord], golden: Golden) -> None:
    message = compose(treated(), Settings(1))
    markup = message.get_body(("html",))

    assert markup
    golden(f"mail.{treated.__name__}.html", f"{message['Subject']}\n\n{_clean(markup)}")


def test_the_subject_counts_what_was_remediated(ill: RunRecord) -> None:
    assert compose(ill, Settings(1))["Subject"] == (
        "[NightScan production] FAILED P1: database/availability::answers (blocks 9) and 3 other causes, 1 remediated · daily"
    )
    assert compose(remediated(), Settings(1))["Subject"] == (
        "[NightScan production] REMEDIATED: cache/queue::is_short and 7 other checks · daily"
    )


def test_the_headers_are_those_of_a_machine(ill: RunRecord) -> None:
    message = compose(ill, Settings(1))

    assert message["From"] == "Runbook <runbook@nightscan.example>"
    assert message["To"] == "devops@nightscan.example"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Message-ID"].startswith("<20261122T180305Z-4f1c.")
    assert message["Importance"] == "high"
    assert abs(parsedate_to_datetime(message["Date"]).timestamp() - time.time()) < 60


def test_the_page_is_attached(ill: RunRecord, tmp_path: Path) -> None:
    (page,) = html.render(ill, tmp_path)

    (attached,) = compose(ill, Settings(1), page).iter_attachments()

    assert attached.get_filename() == "20261122T180305Z-4f1c.html"
    assert attached.get_content_type() == "text/html"
    assert attached.get_payload(decode=True) == page.read_bytes()


def test_a_large_page_is_packed_and_a_huge_one_left_out(ill: RunRecord, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_bytes(b"x" * 6_000_000)

    (attached,) = compose(ill, Settings(1), page).iter_attachments()
    assert attached.get_filename() == "20261122T180305Z-4f1c.zip"
    content = attached.get_content()
    assert len(content) < 100_000
    assert zipfile.ZipFile(io.BytesIO(content)).read("report.html") == page.read_bytes()

    page.write_bytes(os.urandom(16_000_000))
    message = compose(ill, Settings(1), page)
    assert list(message.iter_attachments()) == []
    assert f"The page is too large for a mail: {page}" in _unfolded(message)


def test_nothing_that_a_target_answered_becomes_a_header_or_markup(hostile: RunRecord) -> None:
    hostile.system = "x\r\nBcc: evil@example.com\r\n\r\nbody"

    message = compose(hostile, Settings(1))

    assert message["Bcc"] is None
    assert b"\nBcc:" not in message.as_bytes()
    markup = message.get_body(("html",))
    assert markup
    assert "<script" not in markup.get_content()


@pytest.mark.parametrize(
    "recipient", ["nobody", "a@b\r\nBcc: evil@example.com", "a@b, c@d", "", "@", "a b@c", "<a@b", "Name <a@b> <c@d>"]
)
def test_what_is_no_address_is_named_and_nothing_sent(
    ill: RunRecord, server: Settings, inbox: Inbox, outbox: Path, recipient: str
) -> None:
    mail.writer(replace(server, recipients=("good@nightscan.example", recipient)), outbox)(ill)

    assert inbox.mails == []
    assert ill.problems[-1].startswith("no mail was sent: ")
    assert "which is not an address" in ill.problems[-1]


@pytest.mark.parametrize("missing", ["host", "sender", "recipients"])
def test_a_setting_that_is_missing_is_named(ill: RunRecord, server: Settings, outbox: Path, missing: str) -> None:
    mail.writer(replace(server, **{missing: ()}), outbox)(ill)  # type: ignore[arg-type]

    assert ill.problems[-1].startswith(f'no mail was sent: "mail.{missing}" is not set\n  hint: ')


# The conversation


def test_the_mail_arrives_with_the_page(ill: RunRecord, server: Settings, inbox: Inbox, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    before = list(ill.problems)

    publish(ill, folder, also=[mail.writer(server, tmp_path / "outbox", folder / html.FILE)])

    assert ill.problems == before
    (received,) = inbox.mails
    assert received["Subject"].startswith("[NightScan production] FAILED P1: database/availability::answers (blocks 9)")
    assert "connection refused: 10.0.0.5:5432" in _unfolded(received)
    assert [part.get_filename() for part in received.iter_attachments()] == ["20261122T180305Z-4f1c.html"]
    assert inbox.envelopes[0].mail_from == "runbook@nightscan.example"
    assert list((tmp_path / "outbox").glob("*.eml")) == []


def test_starttls_and_log_in(ill: RunRecord, inbox: Inbox, outbox: Path, secured: tuple[ssl.SSLContext, Path]) -> None:
    with serving(inbox, starttls=secured[0]) as port:
        settings = Settings(port, security="starttls", ca_file=secured[1], user=USER, password=Secret(PASSWORD))
        assert mail.send(compose(ill, settings), settings, outbox) == []

    assert len(inbox.mails) == 1


def test_tls_from_the_first_byte(inbox: Inbox, outbox: Path, secured: tuple[ssl.SSLContext, Path]) -> None:
    with serving(inbox, tls=secured[0]) as port:
        assert mail.send(new("hello"), Settings(port, security="tls", ca_file=secured[1]), outbox) == []

    assert len(inbox.mails) == 1


def test_a_wrong_password_keeps_the_mail_and_is_not_told(
    inbox: Inbox, outbox: Path, secured: tuple[ssl.SSLContext, Path]
) -> None:
    with serving(inbox, starttls=secured[0]) as port:
        settings = Settings(port, security="starttls", ca_file=secured[1], user=USER, password=Secret("hunter2"))
        (problem,) = mail.send(new("hello"), settings, outbox)

    assert problem.startswith('mail "hello" was not sent and is kept for the next run: 127.0.0.1:')
    assert "the server answered 535 " in problem
    assert "hunter2" not in problem
    assert len(list(outbox.glob("*.eml"))) == 1


def test_a_server_without_encryption_gets_no_mail_that_wants_it(inbox: Inbox, server: Settings, outbox: Path) -> None:
    (problem,) = mail.send(new("hello"), replace(server, security="starttls"), outbox)

    assert "STARTTLS extension not supported" in problem
    assert inbox.mails == []


def test_a_certificate_that_nobody_vouches_for_is_refused(
    inbox: Inbox, outbox: Path, secured: tuple[ssl.SSLContext, Path]
) -> None:
    with serving(inbox, starttls=secured[0]) as port:
        (problem,) = mail.send(new("hello"), Settings(port, security="starttls"), outbox)

    assert "the certificate is not trusted" in problem
    assert inbox.mails == []


def test_a_password_never_travels_in_the_clear(server: Settings, inbox: Inbox, outbox: Path) -> None:
    elsewhere = replace(server, host="0.0.0.0", user=USER, password=Secret(PASSWORD))

    (problem,) = mail.send(new("hello"), elsewhere, outbox)

    assert 'refused to send a password in the clear\n  hint: set "mail.security"' in problem
    assert inbox.mails == []


def test_a_dead_server_keeps_the_mail_for_the_next_run(inbox: Inbox, outbox: Path) -> None:
    (problem,) = mail.send(new("first", 1), Settings(port := closed_port()), outbox)
    assert problem == (f'mail "first" was not sent and is kept for the next run: 127.0.0.1:{port}: connection refused')

    with serving(inbox) as port:
        assert mail.send(new("second", 2), Settings(port), outbox) == []

    assert [received["Subject"] for received in inbox.mails] == ["second", "first"]
    assert list(outbox.glob("*.eml")) == []


@pytest.mark.parametrize("trickle", [b"", b"2"], ids=["silent", "trickling"])
def test_a_server_that_never_answers_holds_nothing_up(outbox: Path, trickle: bytes) -> None:
    begun = time.monotonic()
    with silent(trickle) as port:
        (problem,) = mail.send(new("hello"), Settings(port, timeout=0.3), outbox)

    assert time.monotonic() - begun < 3
    assert "no answer in time" in problem or "no end within 1.2 s" in problem
    assert len(list(outbox.glob("*.eml"))) == 1


def test_a_mail_that_the_server_will_not_have_is_not_in_the_way_of_others(
    inbox: Inbox, server: Settings, outbox: Path
) -> None:
    inbox.refused = {"poison": "554 not this", "grey": "451 not now"}
    for number, subject in enumerate(("poison", "grey", "good")):
        mail.send(new(subject, number), Settings(closed_port()), outbox)

    problems = mail.send(new("new", 9), server, outbox)

    assert [received["Subject"] for received in inbox.mails] == ["new", "good"]
    (grey,) = outbox.glob("*.eml")
    (poison,) = outbox.glob("*.refused")
    assert problems == [
        'mail "grey" was not sent and is kept for the next run: the server answered 451 not now',
        f'mail "poison" was refused and lies in "{poison}": the server answered 554 not this',
        f'1 earlier mail still to be sent in "{outbox}"',
    ]
    assert b"grey" in grey.read_bytes()


def test_one_bad_recipient_does_not_cost_the_others_their_mail(inbox: Inbox, server: Settings, outbox: Path) -> None:
    inbox.refused = {"gone@nightscan.example": "550 no such person"}
    message = new("hello")
    message.replace_header("To", "gone@nightscan.example, here@nightscan.example")

    (problem,) = mail.send(message, server, outbox)

    assert problem == 'mail "hello" was sent, but "gone@nightscan.example" was refused: 550 no such person'
    assert inbox.envelopes[0].rcpt_tos == ["here@nightscan.example"]


def test_what_is_no_mail_in_the_outbox_is_set_aside(inbox: Inbox, server: Settings, outbox: Path) -> None:
    outbox.mkdir()
    (outbox / "broken.eml").write_bytes(b"\xff\xfe no mail at all")

    (problem,) = mail.send(new("hello"), server, outbox)

    assert len(inbox.mails) == 1
    assert "was refused and lies in" in problem


def test_the_outbox_forgets_what_is_old_or_too_much(server: Settings, inbox: Inbox, outbox: Path) -> None:
    for number in range(60):
        (outbox / "x").parent.mkdir(exist_ok=True)
        (outbox / f"{number}.eml").write_bytes(new(f"old {number}", number).as_bytes())
        age = time.time() - (30 * 86400 if number < 3 else 60 + number)
        os.utime(outbox / f"{number}.eml", (age, age))

    problems = mail.send(new("hello", 99), server, outbox)

    assert problems == ["11 kept mails dropped unsent: more than 50, or older than 7 d"]
    assert len(inbox.mails) == 50
    assert inbox.mails[0]["Subject"] == "hello"


def test_two_runs_do_not_send_a_mail_twice(inbox: Inbox, server: Settings, outbox: Path) -> None:
    outbox.mkdir()
    with (outbox / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (problem,) = mail.send(new("hello"), replace(server, timeout=0.2), outbox)

    assert "another run is busy sending mail" in problem
    assert inbox.mails == []
    assert mail.send(new("hello"), server, outbox) == []
    assert len(inbox.mails) == 1


def test_an_outbox_that_cannot_be_written_is_a_problem_and_no_end(
    server: Settings, inbox: Inbox, tmp_path: Path
) -> None:
    (tmp_path / "outbox").write_text("a file, not a folder")

    assert mail.send(new("hello"), server, tmp_path / "outbox") == [
        f'mail "hello" could not be kept in "{tmp_path / "outbox"}" before sending: file exists'
    ]
    assert len(inbox.mails) == 1


def test_kept_mail_is_for_its_owner_only(outbox: Path) -> None:
    mail.send(new("hello"), Settings(closed_port()), outbox)

    (kept,) = outbox.glob("*.eml")
    assert kept.stat().st_mode & 0o077 == 0
    assert outbox.stat().st_mode & 0o077 == 0


def _clean(part: MIMEPart) -> str:
    lines = (line.rstrip() for line in str(part.get_content()).splitlines())
    return "\n".join(line for line in lines if line) + "\n"


def _unfolded(message: EmailMessage) -> str:
    text = message.get_body(("plain",))
    assert text
    return " ".join(str(text.get_content()).split())

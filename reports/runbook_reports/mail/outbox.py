"""Every mail goes by way of a folder: what is not sent now is sent by the next run, bounded, locked, one by one."""

from __future__ import annotations

import fcntl
import re
import smtplib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

from pytest_runbook import clock

from runbook_reports import wording
from runbook_reports.files import drafted
from runbook_reports.mail import MailSettings
from runbook_reports.mail.delivery import Later, Never, conversation, hand_over, reason

MOST, OLDEST = 50, timedelta(days=7)
"""So many mails are kept, for so long: news of last month is none."""
PATIENCE = 4
"""All of it may take so many times the time-out of one answer."""


def send_all(message: EmailMessage, settings: MailSettings, folder: Path) -> list[str]:
    """Send MESSAGE and what waits in FOLDER; the problems there were."""
    outbox = Outbox(folder)
    try:
        mine = outbox.put(message)
    except OSError as error:  # a full disk is a reason to send the mail, not to drop it
        unkept = f'mail "{message["Subject"]}" could not be kept in "{folder}" before sending: {reason(error)}'
        return [unkept, *_in_time(settings.timeout * PATIENCE, lambda: _straight(message, settings))]
    try:
        problems = _in_time(settings.timeout * PATIENCE, lambda: outbox.empty(settings))
    except Later as error:
        problems = [_kept(message, error)]
    earlier = [path for path in outbox.waiting() if path != mine]
    if earlier:
        problems.append(f'{wording.count(len(earlier), "earlier mail")} still to be sent in "{folder}"')
    return problems


def _straight(message: EmailMessage, settings: MailSettings) -> list[str]:
    try:
        with conversation(settings) as client:
            return hand_over(client, message)
    except (Later, Never) as error:
        return [f'mail "{message["Subject"]}" was not sent: {error}']


class Outbox:
    """A folder of mail to be sent, each a file; those that the server will not have stay beside them, to be read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, message: EmailMessage) -> Path:
        """Keep MESSAGE; the same message is kept once. Raises OSError."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = re.sub(r"[^A-Za-z0-9.-]", "", message["Message-ID"].partition("@")[0])
        path = self.folder / f"{name}.eml"
        with drafted(path) as draft:
            draft.touch(mode=0o600)
            draft.write_bytes(message.as_bytes(policy=SMTP))
        return path

    def waiting(self) -> list[Path]:
        """Mail to be sent, newest first: what is known now matters more than what was."""
        return sorted(self.folder.glob("*.eml"), key=_modified, reverse=True)

    def empty(self, settings: MailSettings) -> list[str]:
        """Send what waits in one conversation; the problems there were. Raises Later when there was none."""
        with self._locked(settings.timeout):
            problems = self._drop_old()
            with conversation(settings) as client:
                for path in self.waiting():
                    problems += self._send(path, client)
                    if client.sock is None:  # hung up: the others wait
                        break
        return problems

    def _send(self, path: Path, client: smtplib.SMTP) -> list[str]:
        message = message_from_bytes(path.read_bytes(), policy=SMTP)
        try:
            refused = hand_over(client, message)
        except Later as error:
            return [_kept(message, error)]
        except Never as error:
            aside = path.replace(path.with_suffix(".refused"))
            return [f'mail "{message["Subject"]}" was refused and lies in "{aside}": {error}']
        path.unlink(missing_ok=True)
        return [f'mail "{message["Subject"]}" was sent, but {one}' for one in refused]

    def _drop_old(self) -> list[str]:
        eldest = (clock.now() - OLDEST).timestamp()
        waiting = self.waiting()
        dropped = waiting[MOST:]
        dropped += [path for path in (*waiting[:MOST], *self.folder.glob("*.refused")) if _modified(path) < eldest]
        for path in dropped:
            path.unlink(missing_ok=True)
        limits = f"more than {MOST}, or older than {clock.duration(OLDEST.total_seconds())}"
        return [f"{wording.count(len(dropped), 'kept mail')} dropped unsent: {limits}"] if dropped else []

    @contextmanager
    def _locked(self, patience: float) -> Iterator[None]:
        """The outbox to ourselves: two runs that end together send each mail once."""
        deadline = clock.monotonic() + patience
        with (self.folder / ".lock").open("w") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if clock.monotonic() > deadline:
                        raise Later("another run is busy sending mail") from None
                    time.sleep(0.05)
            yield


def _in_time(seconds: float, call: Callable[[], list[str]]) -> list[str]:
    """What CALL returns or raises; Later when it takes longer.

    In a thread that may be left behind: neither the resolution of a name nor a server that trickles its answer can be
    timed out otherwise. Left behind, it may still send a mail, and then takes it out of the folder.
    """
    answers: list[list[str] | Exception] = []

    def run() -> None:
        try:
            answers.append(call())
        except Exception as error:  # carried over to the caller's thread
            answers.append(error)

    thread = threading.Thread(target=run, name="runbook-mail", daemon=True)
    thread.start()
    thread.join(seconds)
    if not answers:
        raise Later(f"no end within {clock.duration(seconds)}")
    if isinstance(answers[0], Exception):
        raise answers[0]
    return answers[0]


def _kept(message: EmailMessage, why: Exception) -> str:
    return f'mail "{message["Subject"]}" was not sent and is kept for the next run: {why}'


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # another run has just sent it
        return 0.0

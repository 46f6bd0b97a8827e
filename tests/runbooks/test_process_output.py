"""What a step says: taken while it runs, in bounded space, without secrets, also where it is cut."""

from __future__ import annotations

import re
import secrets
from pathlib import Path

import psutil
import pytest
from pytest_runbook.evidence.redaction import Redactor
from pytest_runbook.model import StepOutcome
from pytest_runbook.runbooks.output import KEPT, MARGIN, Capped

from tests.runbooks.performing import Book


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(tmp_path)


def test_a_hundred_megabytes_cost_no_memory(book: Book) -> None:
    before = psutil.Process().memory_info().rss
    done = book.command("sh", "-c", "echo first; head -c 100000000 /dev/zero | tr '\\0' x; echo; echo last", timeout=60)
    assert done.outcome == StepOutcome.DONE
    assert done.output.startswith("first\nxxx")
    assert done.output.endswith("xxx\nlast\n")
    assert "… 99,950,012 bytes left out …" in done.output
    assert len(done.output) < KEPT + 100
    assert psutil.Process().memory_info().rss - before < 20_000_000


def test_nor_in_the_process_of_the_step(book: Book) -> None:
    book.write('''
import resource

def flood(tools):
    """Flood."""
    tools.run("sh", "-c", "head -c 100000000 /dev/zero | tr '\\\\0' x >&2")
    return f" peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss} KiB"

@correct()
def step(at):
    """Flood it."""
    return call(flood)
''')
    done = book.perform()
    assert done.outcome == StepOutcome.DONE, done.why
    peak = re.search(r" peak (\d+) KiB", done.output)
    assert peak, done.output[-200:]
    assert int(peak[1]) < 300_000  # KiB


def test_what_is_no_text_is_replaced(book: Book) -> None:
    assert book.command("printf", "caf\\351 \\000 \\303\\251\\n").output == "caf\ufffd \0 é\n"


def test_output_and_errors_come_in_their_order(book: Book) -> None:
    book.write('''
import subprocess, sys, os

def say(tools):
    """Say."""
    print("one")
    print("two", file=sys.stderr)
    os.write(1, b"three\\n")
    subprocess.run(["sh", "-c", "echo four; echo five >&2"])
    answer = tools.run("sh", "-c", "echo six; sleep 0.2; echo seven >&2")
    return f"[{answer}]"

@correct()
def step(at):
    """Do it."""
    return call(say)
''')
    assert book.perform().output == "one\ntwo\nthree\nfour\nfive\nsix\nseven\n[six\n]\n"


def test_secrets_are_masked_in_output_and_reason(book: Book) -> None:
    secret = secrets.token_urlsafe(20)
    book.secrets = [secret]
    done = book.command("sh", "-c", f"echo first {secret}; echo {secret} is wrong >&2; exit 1")
    assert done.output == "first ****\n**** is wrong\n"
    assert done.why == "\"sh -c 'echo first ****; echo **** is wrong >&2; exit 1'\" ended with status 1: **** is wrong"


@pytest.mark.parametrize("size", [200_000, 2 * (KEPT // 2 + MARGIN), KEPT + 500])
def test_no_half_of_a_secret_is_left_where_output_is_cut(size: int) -> None:
    secret = "0123456789abcdefghijklmnopqrstuvwxyz"
    clean = Redactor([secret]).text
    half = KEPT // 2
    borders = {half, half + MARGIN, size - half, size - half - MARGIN, half + 4, size - half - 4}
    for at in sorted(place - shift for place in borders for shift in range(0, len(secret) + 1, 3)):
        capped, data = Capped(), bytearray(b"." * size)
        data[at : at + len(secret)] = secret.encode()
        for start in range(0, size, 4096):
            capped.add(bytes(data[start : start + 4096]))
        text = capped.text(clean)
        assert len(text) < KEPT + 100
        assert not any(secret[i : i + 4] in text for i in range(len(secret) - 3)), f"at {at} of {size}"


def test_a_private_key_that_is_cut_is_no_key() -> None:
    line = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQDabcdefghijklm\n"
    key = f"-----BEGIN PRIVATE KEY-----\n{line * 50}-----END PRIVATE KEY-----\n"
    for before in range(KEPT // 2 - len(key) - 10, KEPT // 2 + 10, 300):
        for text in (
            key.rjust(before + len(key), ".").ljust(200_000, "."),
            key.ljust(before + len(key), ".").rjust(200_000, "."),
        ):
            capped = Capped()
            capped.add(text.encode())
            assert "MIIE" not in capped.text(Redactor().text)


def test_what_fits_is_kept_whole() -> None:
    capped = Capped(100)
    capped.add(b"a" * 60)
    capped.add(b"b" * 40)
    assert capped.text() == "a" * 60 + "b" * 40
    capped.add(b"c")
    assert capped.text() == "a" * 50 + "\n… 1 characters left out …\n" + "a" * 9 + "b" * 40 + "c"

"""A known secret is masked however it is escaped and wherever it is cut off; what only looks like a part of it is not."""

from __future__ import annotations

import base64
import html
import json
import shlex
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from pytest_runbook.evidence.redaction import MASK, Redactor

from tests.linear import is_read_in_linear_time

SECRET = "Tr0ub&dor<3>'x/9+q\"z w\\é"
KEY = "9f86d081884c7d659a2feaa0c55ad015"
WEBHOOK = "https://hooks.example.org/services/T00ABC/B00DEF/abcdefghijkl"


@pytest.mark.parametrize(
    "written",
    [
        SECRET,
        html.escape(SECRET),
        html.escape(SECRET, quote=False),
        html.escape(html.escape(SECRET)),
        SECRET.replace("&", "&#038;").replace("<", "&#60;").replace("'", "&#39;").replace("/", "&#x2F;"),
        json.dumps(SECRET)[1:-1],
        json.dumps(json.dumps(json.dumps(SECRET)))[3:-3],
        json.dumps(html.escape(SECRET)),
        json.dumps(SECRET, ensure_ascii=False).replace("&", r"\u0026").replace("<", r"\u003C").replace("/", r"\/"),
        repr(SECRET),
        quote(SECRET),
        quote(SECRET, safe="").lower().replace("tr0ub", "Tr0ub"),
        quote_plus(SECRET),
        quote(quote(SECRET, safe=""), safe=""),
        shlex.quote(SECRET),
        shlex.quote(SECRET).replace("'\"'\"'", r"'\''"),
        "password='" + SECRET.replace("\\", "\\\\").replace("'", r"\'") + "'",
        "select '" + SECRET.replace("'", "''") + "'",
        SECRET.encode().hex(),
        r"\x" + SECRET.encode().hex().upper(),
        base64.b64encode(SECRET.encode()).decode(),
    ],
)
def test_a_known_secret_is_masked_however_it_is_escaped(written: str) -> None:
    clean = Redactor([SECRET]).text(f"before, {written}, after")
    assert clean.startswith("before, ")
    assert clean.endswith(", after")
    assert MASK in clean
    assert len(clean) <= len(f"before, password='{MASK}', after")


@pytest.mark.parametrize(
    "after", ["", '" and no more', "…", "...", "\nassert 500 == 200", r"\n", "</td>", ", it said", ")"]
)
def test_the_beginning_of_a_secret_that_was_cut_off_is_masked(after: str) -> None:
    for length in range(8, len(KEY)):
        assert Redactor([KEY]).text(f"connected with {KEY[:length]}{after}") == f"connected with {MASK}{after}"


@pytest.mark.parametrize("before", ["", '"', "…", "...", "E   ", "said: ", "tail="])
def test_the_end_of_a_secret_that_was_cut_off_is_masked(before: str) -> None:
    for length in range(8, len(KEY)):
        assert Redactor([KEY]).text(f"{before}{KEY[-length:]} is wrong") == f"{before}{MASK} is wrong"


@pytest.mark.parametrize("escape", [str, html.escape, quote, json.dumps, repr])
def test_an_excerpt_tells_little_of_a_secret_wherever_it_ends(escape: Callable[[str], str]) -> None:
    secret = "x7&'<Tr0ub4dor>/\"and-3-more"
    page = f"could not connect with {escape(secret)}, sorry"
    for column in range(len(page)):
        for part in (page[:column], page[column:]):
            clean = Redactor([secret]).text(f'answered 500 with "{part}"')
            assert "Tr0ub4dor" not in clean
            assert "and-3-more" not in clean


def test_a_secret_that_is_an_address_is_known_from_behind_its_host_on() -> None:
    redactor = Redactor([WEBHOOK])
    assert redactor.text(f'posted to "{WEBHOOK[:40]}"') == f'posted to "{MASK}"'
    assert redactor.text(f'posted to "{WEBHOOK[:-3]}…') == f'posted to "{MASK}…'
    for other in ("https://hooks.example.org", "https://hooks.example.org/", "https://hooks.example.org/services/T99"):
        assert redactor.text(f'posted to "{other}"') == f'posted to "{other}"'


@pytest.mark.parametrize(
    ("secret", "text"),
    [
        ("NightScan2024!", 'the page says "NightScan"'),
        ("production-9f86d081", 'in "production" and production-eu'),
        (KEY, f"{KEY[:12]}xyz and xyz{KEY[-12:]}"),
        (KEY, f'"{KEY[:7]}" and "{KEY[-7:]}"'),
        ("postgresql://db.example.org/shop?sslkey=abc", 'no answer from "postgresql://db.example.org/shop"'),
        ("shop-2026-11-26", "at 2026-11-26"),
        ("redis-01-abcdef", "redis-01-backup.example.org"),
        ("it's-a-s3cret", "its a s3cret, it''s said"),
    ],
)
def test_what_only_begins_or_ends_like_a_secret_is_left_alone(secret: str, text: str) -> None:
    assert Redactor([secret]).text(text) == text


def test_secrets_that_overlap_are_masked_as_one() -> None:
    assert Redactor(["abc-12345-def", "12345-def-678"]).text("with abc-12345-def-678 in it") == f"with {MASK} in it"


@pytest.mark.parametrize("secret", ['"pw1234', 'pw1234"', "\\pw1234", "pw1234\\", "'pw''1234'", "pw12\n34"])
def test_json_with_a_secret_in_it_stays_json(secret: str) -> None:
    told = json.loads(Redactor([secret]).text(json.dumps({"before": "", "p": secret, "after": [""]})))
    assert told["before"] == ""
    assert told["after"] == [""]
    assert "pw" not in told["p"]


def test_a_key_of_which_another_one_is_known_is_masked_as_well() -> None:
    first, last = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQ/", "\n-----END PRIVATE KEY-----"
    redactor = Redactor([f"{first}abcdef{last}"])
    assert redactor.text(f"one {first}abcdef{last}") == f"one {MASK}"
    assert redactor.text(f"two {first}/ghijkl{last}, three") == f"two {MASK}, three"


@pytest.mark.parametrize(
    "part", ["\\", "'", "&a", "%2", "\\u", "1", '{"a": ""}', KEY, f"{KEY[:9]} ", html.escape(SECRET)]
)
def test_a_text_is_read_in_linear_time(part: str) -> None:
    redactor = Redactor([SECRET, KEY, WEBHOOK, "111111111112", *(f"{number}{KEY}{number}" for number in range(20))])
    assert is_read_in_linear_time(redactor.text, SECRET + part * (100_000 // len(part)))

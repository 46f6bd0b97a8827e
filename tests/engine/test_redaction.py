"""Secrets are masked in every form in which they travel, and ordinary text is left alone."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest
from pytest_runbook.evidence.redaction import MASK, Redactor

SECRET = 'c4n/ary "pw"+ü&=%'


@pytest.mark.parametrize(
    "text",
    [
        f"password is {SECRET} here",
        f"url https://h/?p={quote(SECRET, safe='')}&x=1",
        json.dumps({"p": SECRET}),
        json.dumps({"p": SECRET}, ensure_ascii=False),
        repr({"p": SECRET}),
        base64.b64encode(SECRET.encode()).decode(),
    ],
)
def test_known_secret_is_masked_in_each_encoding(text: str) -> None:
    clean = Redactor([SECRET]).text(text)
    assert MASK in clean
    assert "c4n" not in clean


@pytest.mark.parametrize("user", ["a", "ab", "abc", "abcd"])
def test_basic_credentials_are_masked_at_any_offset(user: str) -> None:
    header = base64.b64encode(f"{user}:s3cr3t-canary-value".encode()).decode()
    clean = Redactor(["s3cr3t-canary-value"]).text(f"Proxy {header}")
    assert MASK in clean
    # Only the characters that the secret shares with its neighbours are left.
    assert len(clean.removeprefix("Proxy ").replace(MASK, "")) <= len(base64.b64encode(f"{user}:".encode())) + 4


@pytest.mark.parametrize(
    ("text", "leaked"),
    [
        ("postgresql://app:hunter22@db/x", "hunter22"),
        ("Authorization: Bearer abcdef0123456789", "abcdef0123456789"),
        ("PGPASSWORD=hunter22 psql", "hunter22"),
        ('{"secret_key": "hunter22"}', "hunter22"),
        ("ALTER ROLE web ENCRYPTED PASSWORD 'hunter 22'", "hunter"),
        ("alter role web password E'hunter22", "hunter22"),
        ("-----BEGIN PRIVATE KEY-----\nMIIEvQ\n-----END PRIVATE KEY-----", "MIIEvQ"),
        (json.dumps({"message": "refused: " + json.dumps({"password": "hunter 22"})}), "22"),
        (json.dumps(json.dumps({"message": json.dumps({"token": 'hun"ter22'})})), "ter22"),
        ('password: "my hunter, 22"', "22"),
        ("Cookie: session=hunter22; theme=dark", "hunter22"),
        ('{"Set-Cookie": "session=hunter22; Path=/"}', "hunter22"),
        ('Cookie: theme="dark"; session=hunter22', "hunter22"),
        ('{"Set-Cookie": ["session=hunter22; Path=/"]}', "hunter22"),
        (json.dumps({"message": json.dumps({"Cookie": 'a="b"; session=hunter22'})}), "hunter22"),
        ("AWS_SECRET_ACCESS_KEY=/hunter22", "hunter22"),
        ('{"password": "/hunter22"}', "hunter22"),
        ("X-Api-Key: hunter22", "hunter22"),
        ("SMTP_PASS: hunter22", "hunter22"),
        ("server=db;pwd=hunter22", "hunter22"),
        ("requirepass hunter22", "hunter22"),
        ("redis-server --requirepass hunter22", "hunter22"),
        ("psql --password hunter22", "hunter22"),
        ("postgresql://app:hun@ter22@db/x", "ter22"),
    ],
)
def test_secrets_that_nobody_told_are_found_by_their_shape(text: str, leaked: str) -> None:
    clean = Redactor().text(text)
    assert leaked not in clean
    assert MASK in clean


@pytest.mark.parametrize(
    "text",
    [
        "web answered 503",
        "the password is weak",
        "the password '' is weak",
        "https://db.example.org:5432/x",
        "a token of love",
        "PWD=/opt/system",
        "SECRET_KEY_FILE=/run/secrets/key",
        "https://h:8443/x, mail ops@example.org",
        "password: none",
    ],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert Redactor(["hunter22"]).text(text) == text


def test_values_shorter_than_four_characters_do_not_blacken_text() -> None:
    assert Redactor(["a", "", "abc"]).text("abc and a") == "abc and a"


def test_nested_values_are_redacted_and_become_json_safe() -> None:
    value = {"a": [SECRET, (1, None)], SECRET: b"x" + SECRET.encode()}
    clean = Redactor([SECRET]).value(value)
    assert "c4n" not in json.dumps(clean, ensure_ascii=False)
    assert clean["a"][1] == [1, None]


def test_what_follows_a_cookie_is_left_alone() -> None:
    told = '{"Cookie": "a=b; session=hunter22", "Set-Cookie": ["session=hunter22"], "status": 500}'
    assert Redactor().text(told) == '{"Cookie": "****", "Set-Cookie": ["****"], "status": 500}'


def test_a_value_is_masked_by_its_key() -> None:
    value = {"user": {"name": "bob", "password": "hunter22", "api-key": "abcdef"}, "token": None, "tokens": "12 left"}
    clean = {"user": {"name": "bob", "password": MASK, "api-key": MASK}, "token": None, "tokens": "12 left"}
    assert Redactor().value(value) == clean


def test_exceptions_and_their_causes_lose_their_secrets() -> None:
    try:
        try:
            raise ValueError(f"inner {SECRET}")
        except ValueError as inner:
            raise RuntimeError(f"outer {SECRET}") from inner
    except RuntimeError as caught:
        Redactor([SECRET]).exception(caught)
        assert caught.args == (f"outer {MASK}",)
        assert caught.__cause__ is not None
        assert caught.__cause__.args == (f"inner {MASK}",)


def test_a_long_text_is_read_in_linear_time() -> None:
    # A pattern that tries again at every character would take minutes on this.
    assert Redactor().text("a-" * 500_000 + " secret token").endswith("secret token")
    for again in ("password", 'password: "', "secret_", "token\\", "pwd=", "://a:@", "cookie ", "--"):
        assert Redactor().text(again * 100_000 + "\nlast words").endswith("last words")


@pytest.mark.parametrize("name", ["api", "access", "private", "encryption"])
@pytest.mark.parametrize("joint", ["_key", "key", "_KEY"])
def test_a_key_that_nobody_told_of_is_masked_by_its_name(name: str, joint: str) -> None:
    assert Redactor().text(f"{name}{joint}=abcdef123") == f"{name}{joint}={MASK}"


@pytest.mark.parametrize(
    "text",
    ["hunter22", "über", "postgresql://u:p@host/x", "Password: abcd", "encryptionKey = abcd", "-----BEGIN PRIVATE KEY"],
)
def test_whatever_would_be_changed_is_suspect_also_inside_of_json(text: str) -> None:
    redactor = Redactor(["hunter22"])
    assert redactor.suspects(text)
    assert redactor.suspects(json.dumps({"answer": [text]}, ensure_ascii=False))
    assert not redactor.suspects('{"id": "web/availability::answers", "duration": 0.5}')

"""Secrets are masked in every form in which they travel, and ordinary text is left alone."""

from __future__ import annotations

import base64
import json
import re
from functools import partial
from urllib.parse import quote

import pytest
from pytest_runbook.evidence.redaction import MASK, PATTERNS, Redactor

from tests.linear import hostile, is_read_in_linear_time

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
        ("curl -s -u admin:hunter22 https://h/x", "hunter22"),
        ("curl --user 'admin:my hunter22' https://h/x", "hunter22"),
        ("https://s3/b/x?X-Amz-Expires=60&X-Amz-Signature=deadbeef0123", "deadbeef0123"),
        ("posted to https://hooks.slack.com/services/T00/B00/hunter22", "hunter22"),
        ("DB_PWD=/hunter22", "hunter22"),
        ("MYSQL_PWD: hunter22", "hunter22"),
        ('{"redisPwd": "/hunter22"}', "hunter22"),
        ("pwd = /hunter22", "hunter22"),
        ("passphrase=hunter22", "hunter22"),
        ("password=none-hunter22", "hunter22"),
        ('"password"=>"hunter22"', "hunter22"),
        ("private_key=-----BEGIN PRIVATE KEY-----\nMIIEvQ\n-----END PRIVATE KEY-----", "MIIEvQ"),
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
        "password: none.",
        "curl -u admin https://h:8443/x",
        "https://hooks.slack.com/services answered 404",
        "PWD=/home/x",
        "OLDPWD=/home/x",
        "export PWD='/home/x' OLDPWD=\"/home/y\"",
        '{"OLDPWD": "/srv", "passed": "all 12 of them", "status": "passed"}',
        "token count 5",
        "cookie policy",
        "the page sets 2 cookies: session, theme",
        "cookies: (see below)",
        "cookie=[]",
        "'cookies': {}, 'status': 500",
        "an 'Authorization:' header is missing",
        "authorization: enabled",
        "allowed headers: ['authorization', 'cookie', 'content-type']",
        '["cookie", "host"], ["set-cookie", "etag"]',
        "security::secret_files_are_private: open to others: /x has mode 644",
        "secrets::no_secret_is_a_placeholder: placeholders or defaults: SMTP_PASSWORD",
    ],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert Redactor(["hunter22"]).text(text) == text


SESSION = "session=hunter22; theme=dark"


@pytest.mark.parametrize(
    "text",
    [
        f"[(b'Set-Cookie', b'{SESSION}'), (b'Server', b'x')]",
        f"[('Set-Cookie', '{SESSION}'), ('Server', 'x')]",
        f"rawHeaders: [ 'Cookie', '{SESSION}', 'Host', 'x' ]",
        f"{{'cookie': ('{SESSION}',)}}",
        f"{{'cookie': b'{SESSION}'}}",
        f"{{'HTTP_COOKIE': '{SESSION}'}}",
        f"HTTP_COOKIE={SESSION}",
        f'"Cookie"=>"{SESSION}"',
        f"send: b'GET / HTTP/1.1\\r\\nCookie: {SESSION}\\r\\n'",
        f"map[Cookie:[{SESSION}] Host:[x]]",
        "cookies={'theme': 'dark', 'session': 'hunter22'}",
        "cookies={'theme': {'value': 'dark'}, 'session': {'value': 'hunter22'}}",
        json.dumps({"set-cookie": ["theme=dark", "session=hunter22"]}, indent=1),
        json.dumps({"message": json.dumps({"set-cookie": ["theme=[dark", "session=hunter22"]}, indent=1)}),
        "{'set-cookie': ['theme=dark', 'session=hunter22",
        "{'cookie': 'theme=dark; session=hunter22",
        "cookie: theme=da'rk; session=hunter22",
        'cookie: theme=dark"; session=hunter22',
        r"cookie: theme=da\xrk; session=hunter22",
        "cookie: {theme}=dark; session=hunter22",
        "<RequestsCookieJar[<Cookie theme=dark for x/>, <Cookie session=hunter22 for x/>]>",
        "<SimpleCookie: session='hunter22'>",
        "('Authorization', 'hunter22')",
        "{'Authorization': ['Bearer hunter22', 'hunter22']}",
        "{'Authorization': ('hunter22',)}",
        "{b'Authorization': {'apikey': 'hunter22'}}",
        "{'Authorization': 'hunter22'}",
        "{'Authorization': 'Custom hunter22'}",
        "Authorization: Token hunter22",
        'Proxy-Authorization: Digest username="web", response="hunter22"',
    ],
)
def test_a_header_that_is_a_secret_is_masked_in_each_form_in_which_logs_show_it(text: str) -> None:
    clean = Redactor().text(text)
    assert MASK in clean
    assert "hunter22" not in clean
    assert Redactor().text(clean) == clean


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


@pytest.mark.parametrize(
    ("told", "clean"),
    [
        ("map[Cookie:[a=hunter22] Host:[shop]]", "map[Cookie:[****] Host:[shop]]"),
        ("[(b'Cookie', b'a=hunter22'), (b'Host', b'shop')]", "[(b'Cookie', b'****'), (b'Host', b'shop')]"),
        ("{'cookies': {'a': 'hunter22'}, 'status': 500}", "{'cookies': {'****'}, 'status': 500}"),
        ('{"m": "Cookie: a=hunter22", "status": 500}', '{"m": "Cookie: ****", "status": 500}'),
        ("curl -H 'Cookie: a=hunter22' shop", "curl -H 'Cookie: ****' shop"),
        ("cookie: ['a=hunter22\nlast words" + " " * 20_000 + "\nvery last", "cookie: ['****'" + " " * 4_000),
    ],
)
def test_what_follows_a_header_is_left_alone(told: str, clean: str) -> None:
    assert Redactor().text(told).startswith(clean)


def test_headers_that_are_secrets_are_masked_in_values() -> None:
    value = {
        "headers": {
            "cookie": SESSION,
            "set-cookie": [SESSION, SESSION],
            "Authorization": ("hunter22",),
            "host": "shop",
        },
        "cookies": {"session": {"value": "hunter22", "secure": True}},
        "raw": [(b"Set-Cookie", b"session=hunter22"), ("host", "shop"), ("cookie", "host")],
        b"proxy-authorization": b"hunter22",
        "X-Api-Key": "hunter22",
        "password": b"hunter22",
    }
    assert Redactor().value(value) == {
        "headers": {"cookie": MASK, "set-cookie": [MASK, MASK], "Authorization": [MASK], "host": "shop"},
        "cookies": {"session": {"value": MASK, "secure": True}},
        "raw": [["Set-Cookie", MASK], ["host", "shop"], ["cookie", "host"]],
        "proxy-authorization": MASK,
        "X-Api-Key": MASK,
        "password": MASK,
    }


def test_the_folders_of_a_shell_are_no_passwords_and_others_of_that_name_are() -> None:
    value = {"PWD": "/srv", "OLDPWD": "/srv", "DB_PWD": "/srv", "pwd": "/srv", "passed": "everything"}
    clean = {"PWD": "/srv", "OLDPWD": "/srv", "DB_PWD": MASK, "pwd": MASK, "passed": "everything"}
    assert Redactor().value(value) == clean


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


FITTING = (
    "-----BEGIN PRIVATE KEY-----x-----END PRIVATE KEY-----",
    "x://u:p@p@",
    "authorization: token abcdefgh",
    'http_cookie: a="b"; c\'d\\\\x',
    "'cookie', b'basic a=b'",
    "'pwd': 'a b'",
    "DB_PWD_1 = '/abcd",
    "--x-password 'abcd",
    "password e'abcd'",
    "<XCookie: abcd>",
    "curl x -u 'a:b",
    "x-amz-signature: 01234567",
    "hooks.slack.com/services/12345678",
)
"""A text for each of the patterns, in their order."""


@pytest.mark.parametrize(
    ("pattern", "fitting"),
    [(pattern, text) for (_, pattern, _), text in zip(PATTERNS, FITTING, strict=True)],
    ids=FITTING,
)
def test_each_pattern_reads_any_text_in_linear_time(pattern: re.Pattern[str], fitting: str) -> None:
    assert pattern.search(fitting)
    slow = [text[:60] for text in hostile(fitting) if not is_read_in_linear_time(partial(pattern.sub, MASK), text)]
    assert not slow


@pytest.mark.parametrize(
    "again",
    ["cookie:['", '{"cookie":["a', "cookie: [{('a", "cookie: [\\", "'cookie', ", "authorization={", "cookie:[] "],
)
def test_brackets_are_followed_in_linear_time(again: str) -> None:
    assert is_read_in_linear_time(Redactor().text, again * 10_000)


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

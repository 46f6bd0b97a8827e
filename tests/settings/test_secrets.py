"""Secrets are known, wherever they stand, and shown nowhere."""

from __future__ import annotations

import base64
import pickle

import pytest
from pytest_runbook.evidence.redaction import STEMS, Redactor
from pytest_runbook.probes._address import public
from pytest_runbook.settings.display import displayed
from pytest_runbook.settings.secrets import inside, is_secret, kept, mask, secret_name

from tests.linear import hostile, is_read_in_linear_time

from .conftest import Project


@pytest.mark.parametrize(
    "name",
    [
        *("DB_PASSWORD", "PGPASSWORD", "SECRET_KEY", "JWT_SECRET_KEY", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN"),
        *("SLACK_WEBHOOK_URL", "SENTRY_DSN", "GOOGLE_CREDENTIALS", "SMTP_PASSWD", "API_KEY", "STRIPE_SECRET", "apiKey"),
        *("password", "secret_key", "jwt_secret", "encryption_key", "db-password", "ADMIN_PASSWORD_1", "accessToken"),
        *("DB_PWD", "MYSQL_PWD", "REDIS_PWD", "dbPwd", "pwd", "SSH_PASSPHRASE"),
    ],
)
def test_name_of_a_secret(name: str) -> None:
    assert secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *("PWD", "OLDPWD", "HOME", "SSH_AUTH_SOCK", "DB_PASSWORD_FILE", "PASSWORD_MIN_LENGTH", "TOKEN_TTL", "KEYBOARD"),
        *("AWS_ACCESS_KEY_ID", "JWT_ALGORITHM", "sslkey_path", "MONKEY", "COMPASS", "SECRETARY_NAME", "TOKEN_TYPE"),
    ],
)
def test_name_that_only_looks_like_one(name: str) -> None:
    assert not secret_name(name)


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("class_key", "class", False),
        ("partition_key", "customer_id", False),
        ("TLS_KEY", "/etc/ssl/private/shop.key", False),
        ("ROUTING_KEY", "9f2c7a", True),
        ("api_key", "letters", True),
        ("secret_key", "letters", True),
        ("password", "/slashes/only", True),
        ("DB_PWD", "/slashes/only", True),
        ("PWD", "/srv/shop", False),
        ("OLDPWD", "/srv/shop", False),
        ("PWD", "hunter22", True),
    ],
)
def test_key_of_some_other_kind_is_no_secret(name: str, value: str, secret: bool) -> None:
    assert is_secret(name, value) is secret


def test_secrets_of_every_layer_are_known(project: Project) -> None:
    project.settings(
        '[probes.api]\nkind = "http"\nheaders = { X-Id = "file-header-c" }\n[mail]\npassword = "file-mail-c"'
    )
    project.config(
        {
            "database": {"password": "json-database-c"},
            "security": {"jwt_secret": "json-jwt-c", "keys": [{"name": "k"}], "encryption_key": None},
            "broker": "amqp://u:json-broker-c@h/",
            "log": {"level": "info"},
        }
    )
    project.write(".env", "SHOP_PASSWORD=env-file-c\nSESSION_SECRET='env file session-c'\n")
    project.environ |= {
        "SHOP_DATABASE_URI": "postgresql://app:p%40ss%2Fword-c@db1/shop?sslpassword=in-query-c",
        "SLACK_WEBHOOK_URL": "https://hooks.slack.example/T0/webhook-c",
        "PGPASSWORD": "libpq-c",
        "OTHER_URL": "https://user:other-c@host/",
        "RUNBOOK__PROBES__WEB__HEADERS": '{"Authorization": "Bearer bearer-c"}',
        "DEBUG": "debug-is-no-secret",
        "USE_TOKEN": "true",
    }
    basic = base64.b64encode(b"user:basic-password-c").decode()
    loaded = project.load(f"probes.api.headers.authorization=Basic {basic}", "mail.password=command-line-c")
    known = {text for text in loaded.secrets if text.endswith("-c")}
    assert known == {
        *("file-header-c", "file-mail-c", "json-database-c", "json-jwt-c", "json-broker-c", "env-file-c"),
        *("env file session-c", "p%40ss%2Fword-c", "p@ss/word-c", "in-query-c", "libpq-c", "other-c"),
        *(
            "Bearer bearer-c",
            "bearer-c",
            "https://hooks.slack.example/T0/webhook-c",
            "basic-password-c",
            "command-line-c",
        ),
    }
    assert basic in loaded.secrets
    assert loaded.secrets.isdisjoint({"debug-is-no-secret", "true", "info", "k"})


def test_secret_of_the_env_file_that_the_environment_overrides_is_known(project: Project) -> None:
    project.write(".env", "SHOP_PASSWORD=overridden-c\n")
    project.environ["SHOP_PASSWORD"] = "stronger-c"
    loaded = project.load()
    assert {"overridden-c", "stronger-c"} <= loaded.secrets
    assert loaded.system.env["SHOP_PASSWORD"] == "overridden-c"


def test_names_of_variables_and_lengths_are_no_secrets(project: Project) -> None:
    project.settings('[facts.secrets]\nDB_PASSWORD = 12\npassword = "secret-c"')
    assert project.load().secrets == {"secret-c"}


@pytest.mark.parametrize("word", ["abc", "", "true", "NONE", "password", "changeme", "postgres"])
def test_short_and_ordinary_words_are_not_kept(word: str) -> None:
    assert kept([word, "long-enough"]) == {"long-enough"}


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("postgresql://app:pw@db/shop", "postgresql://app:****@db/shop"),
        ("redis://:pw@cache:6379/0", "redis://:****@cache:6379/0"),
        ("postgresql://app:p@ss@db/shop", "postgresql://app:****@db/shop"),
        ("postgresql://app:p/w?x@db/shop", "postgresql://app:****@db/shop"),
        ("https://0123456789abcdef@sentry.example/1", "https://****@sentry.example/1"),
        ("https://user@host/", "https://user@host/"),
        ("http://localhost:8000/x@y", "http://localhost:8000/x@y"),
        ("host=db password=pw user=app", "host=db password=**** user=app"),
        ("postgresql://db/shop?password=pw&sslmode=require", "postgresql://db/shop?password=****&sslmode=require"),
        ("the key kept-c of kept-c-longer", "the key **** of ****"),
    ],
)
def test_mask_hides_passwords_and_known_secrets(text: str, masked: str) -> None:
    assert mask(text, ["kept-c", "kept-c-longer"]) == masked


def test_neither_repr_nor_display_show_a_secret(project: Project) -> None:
    project.settings('[mail]\npassword = "canary-1"\n[facts.notify]\nhook = "https://u:canary-2@host/"')
    project.config({"database": {"password": "canary-3"}})
    project.environ |= {
        "SHOP_DATABASE_URI": "postgresql://app:canary-4@db/shop",
        "RUNBOOK__PROBES__WEB__HEADERS": '{"X-Key": "canary-5"}',
        "RUNBOOK__PROBES__WEB__URL": "http://user:canary-6@host",
        "API_TOKEN": "canary-7",
        "RUNBOOK__FACTS__WEB__VERSION": "canary-7",
    }
    loaded = project.load()
    assert {f"canary-{n}" for n in range(1, 8)} <= loaded.secrets
    rows = displayed(loaded)
    for text in (repr(loaded), str(loaded.settings), repr(loaded.system), f"{loaded.settings!r}", str(rows)):
        assert "canary-" not in text
    assert rows["mail.password"]["value"] == "****"
    assert rows["probes.database.uri"]["value"] == "postgresql://app:****@db/shop"
    assert rows["probes.web.headers.X-Key"]["value"] == "****"
    assert rows["probes.web.url"]["value"] == "http://user:****@host"
    assert rows["facts.notify.hook"]["value"] == "https://u:****@host/"
    assert rows["facts.web.version"]["value"] == "****"


@pytest.mark.parametrize(
    "override",
    [
        'mail.password=["canary"]',
        'mail.password={"x": "canary"}',
        "mail.passwrd=canary",
        "probes.web.headers=Authorization: canary",
        'probes.web.headers={"X": ["canary"]}',
        "probes.web.url=ftp://user:canary@host/",
        "probes.web.api_key=canary",
        "mail.port=https://user:canary@host/",
        "mail=canary",
        "limits.web.uptime=postgresql://u:canary@h/",
        "canary",
    ],
)
def test_no_fault_shows_a_secret(project: Project, override: str) -> None:
    message = project.refused(override).replace('"canary": should be key=value', "")
    assert "canary" not in message


def test_fault_of_a_value_that_is_a_secret_elsewhere_is_masked(project: Project) -> None:
    project.environ["API_TOKEN"] = "canary-9"
    assert 'mail.port: should be a valid integer (value "****")' in project.refused("mail.port=canary-9")


def test_broken_files_do_not_show_their_content(project: Project) -> None:
    project.config('{"password": "canary-1"  "x"')
    project.write(".env", "A=1\n=canary-2\n")
    system = project.load().system
    assert system.config_error and system.env_error
    assert "canary" not in system.config_error + system.env_error
    project.settings('password = "canary-3\n')
    assert "canary" not in project.refused()


def test_settings_survive_a_copy_without_showing_more(project: Project) -> None:
    limits = project.load().settings.limits
    assert pickle.loads(pickle.dumps(limits)).web.uptime == 0.99


@pytest.mark.parametrize("fitting", ["x://u:p@p/p@", "https://abcdefgh@", " sslpassword='a b'"])
def test_a_long_value_is_read_in_linear_time(fitting: str) -> None:
    assert [*inside(fitting)] or mask(fitting) != fitting
    assert [text[:60] for text in hostile(fitting) if not is_read_in_linear_time(mask, text)] == []


@pytest.mark.parametrize("word", STEMS)
def test_a_word_that_shows_a_secret_is_known_in_names_in_texts_and_in_addresses(word: str) -> None:
    assert secret_name(f"DB_{word}".upper())
    assert Redactor().text(f"db_{word}=hunter22") == f"db_{word}=****"
    assert public(f"http://shop/?db_{word}=hunter22") == f"http://shop/?db_{word}=****"


def test_a_long_value_that_is_no_address_is_read_in_linear_time() -> None:
    # A pattern that tries again at every letter would take hours on this.
    assert list(inside("a" * 1_000_000 + " password=hunter22")) == ["hunter22", "hunter22"]

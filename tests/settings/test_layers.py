"""Which value wins, and where it is said to come from."""

from __future__ import annotations

from pathlib import Path

from pytest_runbook.settings import load

from .conftest import Project


def test_defaults_hold_without_a_settings_file(tmp_path: Path) -> None:
    loaded = load(tmp_path, file=None, environ={})
    assert loaded.settings.gate == "P2"
    assert (loaded.settings.confirm.failures, loaded.settings.confirm.of) == (2, 3)
    assert loaded.settings.concurrency.total == 100
    assert set(loaded.origins.values()) == {"default"}


def test_each_layer_overrides_the_one_below(project: Project) -> None:
    key = "probes.database.port"
    assert project.load().settings.probes["database"].port is None  # type: ignore[attr-defined]
    assert project.origin(key) == "default"

    project.settings("", project.root.joinpath("runbook.toml").read_text().replace('host = "localhost"', "port = 1"))
    assert project.origin(key) == "runbook.toml"

    project.config({"database": {"port": 2}})
    assert project.origin(key) == "shop.json"

    project.write(".env", "RUNBOOK__PROBES__DATABASE__PORT=3\n")
    assert project.origin(key) == ".env"

    project.environ["RUNBOOK__PROBES__DATABASE__PORT"] = "4"
    assert project.origin(key) == "environment RUNBOOK__PROBES__DATABASE__PORT"

    loaded = project.load("probes.database.port=5")
    assert loaded.settings.probes["database"].port == 5  # type: ignore[attr-defined]
    assert loaded.origins[key] == "command line"


def test_environment_wins_over_env_file_even_by_another_name(project: Project) -> None:
    project.write(".env", "RUNBOOK__LIMITS__WEB__UPTIME=0.5\n")
    project.environ["SHOP_UPTIME"] = "0.7"
    assert project.load().settings.limits.web.uptime == 0.7
    assert project.origin("limits.web.uptime") == "environment SHOP_UPTIME"


def test_system_environment_is_named_by_its_variable(project: Project) -> None:
    assert project.load().settings.system.environment == "production"
    project.environ["SHOP_ENV"] = "staging"
    assert project.load().settings.system.environment == "staging"
    assert project.origin("system.environment") == "environment SHOP_ENV"


def test_env_file_can_be_named_and_name_the_config(project: Project) -> None:
    project.write("shop.json", {"web": {"workers": 9}})
    project.write("secrets.env", "SHOP_CONFIG_FILE=shop.json\nSHOP_SMTP_PORT=2525\n")
    project.environ["SHOP_ENV_FILE"] = "secrets.env"
    loaded = project.load()
    assert loaded.settings.mail.port == 2525
    assert loaded.origins["mail.port"] == "secrets.env"
    assert loaded.settings.facts.web.workers == 9
    assert loaded.system.config_file == project.root / "shop.json"
    assert loaded.system.environment["SHOP_SMTP_PORT"] == "2525"


def test_env_file_understands_export_quotes_comments_and_references(project: Project) -> None:
    project.environ["STAGE"] = "blue"
    text = "# comment\nexport A='one two'\nB=\"${A} ${STAGE}\"\nC=${NOWHERE:-three}\nD=a b # why\nE\n"
    project.write(".env", text)
    seen = project.load().system.environment
    assert {name: seen[name] for name in "ABCD"} == {"A": "one two", "B": "one two blue", "C": "three", "D": "a b"}
    assert "E" not in seen


def test_facts_may_be_empty_tables_and_lists_of_tables(project: Project) -> None:
    project.settings("[facts.paths]\n[[facts.sites]]\nname = 'a'\n")
    assert project.load().settings.facts.sites[0]["name"] == "a"


def test_missing_env_file_is_fine(project: Project) -> None:
    loaded = project.load()
    assert loaded.system.env_file is None
    assert loaded.system.env_error is None


def test_null_and_masked_values_of_the_json_change_nothing(project: Project) -> None:
    project.config({"database": {"host": None, "port": 7, "password": "***masked***"}, "web": None})
    database = project.load().settings.probes["database"]
    assert database.host == "localhost"  # type: ignore[attr-defined]
    assert database.port == 7  # type: ignore[attr-defined]
    assert database.password.get_secret_value() == ""  # type: ignore[attr-defined]


def test_empty_variable_counts_as_not_set(project: Project) -> None:
    project.environ["SHOP_UPTIME"] = ""
    assert project.origin("limits.web.uptime") == "runbook.toml"


def test_template_is_filled_when_all_its_pieces_are_there(project: Project) -> None:
    project.config({"web": {"port": 81}})
    assert project.load().settings.probes["web"].url == "http://localhost:81"  # type: ignore[attr-defined]
    project.config({"web": {"host": "web1", "port": 81}})
    assert project.load().settings.probes["web"].url == "http://web1:81"  # type: ignore[attr-defined]
    project.write(".env", "SHOP_DOMAIN=shop.example\n")
    assert project.load().settings.probes["web"].url == "http://web1:81"  # type: ignore[attr-defined]
    project.environ["SHOP_PORT"] = "8443"
    loaded = project.load()
    assert loaded.settings.probes["web"].url == "https://shop.example:8443"  # type: ignore[attr-defined]
    assert loaded.origins["probes.web.url"] == "environment SHOP_PORT"


def test_one_variable_may_give_several_settings(project: Project) -> None:
    project.environ["SHOP_PASSWORD"] = "hunter22"
    settings = project.load().settings
    assert settings.probes["database"].password.get_secret_value() == "hunter22"  # type: ignore[attr-defined]
    assert settings.mail.password and settings.mail.password.get_secret_value() == "hunter22"


def test_direct_variables_are_spelled_in_any_case(project: Project) -> None:
    project.environ["runbook__Limits__WEB__uptime"] = "0.5"
    assert project.load().settings.limits.web.uptime == 0.5


def test_direct_values_are_json_where_that_is_meant(project: Project) -> None:
    project.environ |= {
        "RUNBOOK__PROBES__WEB__HEADERS": '{"X-Id": "17"}',
        "RUNBOOK__FACTS__WEB__PAGES": '["/a", "/b"]',
        "RUNBOOK__FACTS__WEB__DEBUG": "true",
        "RUNBOOK__PROBES__DATABASE__PASSWORD": "12345678",
        "RUNBOOK__FACTS__WEB__VERSION": "1.10",
    }
    settings = project.load().settings
    assert settings.probes["web"].headers["X-Id"].get_secret_value() == "17"  # type: ignore[attr-defined]
    assert settings.facts.web.pages == ("/a", "/b")
    assert settings.facts.web.debug is True
    assert settings.probes["database"].password.get_secret_value() == "12345678"  # type: ignore[attr-defined]
    assert settings.facts.web.version == "1.10", "a version is no number"


def test_lists_may_be_given_with_commas(project: Project) -> None:
    project.environ["SHOP_MAIL_TO"] = "a@shop.example, b@shop.example"
    loaded = project.load("facts.web.pages=/x")
    assert loaded.settings.mail.recipients == ("a@shop.example", "b@shop.example")
    assert loaded.settings.facts.web.pages == ("/x",)


def test_numbers_of_limits_may_be_whole_or_not(project: Project) -> None:
    limits = project.load("limits.web.uptime=1", "limits.web.queue=2.5").settings.limits
    assert (limits.web.uptime, limits.web.queue) == (1, 2.5)


def test_address_gives_way_when_a_stronger_layer_names_the_host(project: Project) -> None:
    project.environ["SHOP_DATABASE_URI"] = "postgresql://app:secret-1@db1/shop"
    project.config({"database": {"host": "db2"}})
    uri = project.load().settings.probes["database"].uri  # type: ignore[attr-defined]
    assert uri.get_secret_value() == "postgresql://app:secret-1@db1/shop", "the environment is stronger than the JSON"
    database = project.load("probes.database.host=db3").settings.probes["database"]
    assert database.uri.get_secret_value() == ""  # type: ignore[attr-defined]
    assert database.host == "db3"  # type: ignore[attr-defined]


def test_any_variable_may_be_given_as_a_file(project: Project) -> None:
    project.write("password", "  from-a-file\n")
    project.environ["SHOP_PASSWORD_FILE"] = str(project.root / "password")
    project.environ["RUNBOOK__GATE_FILE"] = str(project.write("gate", "P3\n"))
    loaded = project.load()
    assert loaded.settings.mail.password and loaded.settings.mail.password.get_secret_value() == "from-a-file"
    assert loaded.origins["mail.password"] == "environment SHOP_PASSWORD_FILE"
    assert loaded.settings.gate == "P3"
    assert loaded.system.environment["SHOP_PASSWORD"] == "from-a-file"


def test_env_file_may_name_files_as_well(project: Project) -> None:
    project.write(".env", f"SHOP_PASSWORD_FILE={project.write('password', 'from-a-file')}\n")
    loaded = project.load()
    assert loaded.settings.mail.password and loaded.settings.mail.password.get_secret_value() == "from-a-file"
    assert loaded.origins["mail.password"] == ".env"


def test_names_that_end_in_file_themselves_are_no_files_of_values(project: Project) -> None:
    project.environ["RUNBOOK__PROBES__WEB__CA_FILE"] = "/etc/ca.pem"
    project.environ["SSL_CERT_FILE"] = "/nowhere/cert.pem"
    project.environ["SHOP_ENV"] = "staging"
    project.environ["SHOP_ENV_FILE"] = str(project.write("other.env", "SHOP_SMTP_PORT=26\n"))
    settings = project.load().settings
    assert str(settings.probes["web"].ca_file) == "/etc/ca.pem"  # type: ignore[attr-defined]
    assert settings.system.environment == "staging"
    assert settings.mail.port == 26


def test_loading_reads_nothing_but_what_it_is_given(project: Project) -> None:
    assert dict(project.load().system.environment) == {}


def test_every_value_has_an_origin(project: Project) -> None:
    loaded = project.load("timeout=9")
    assert set(loaded.origins) == set(loaded.values())
    assert loaded.values()["timeout"] == 9.0


def test_a_check_reads_the_system_s_json_by_dotted_keys(project: Project) -> None:
    assert project.load().system.keys == {}
    project.config({"database": {"host": "db", "ssl": {"mode": None}}, "hosts": ["a", "b"], "debug": False})
    assert project.load().system.keys == {
        "database.host": "db",
        "database.ssl.mode": None,
        "hosts": ["a", "b"],
        "debug": False,
    }

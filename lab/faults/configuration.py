"""What can be wrong with what is deployed: variables, secrets, JSON, compose file. All of it is for a person to mend."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

from pytest_runbook import clock
from pytest_runbook.backup.restore.journal import EXCHANGING, NAME, Restore
from pytest_runbook.process import Process

from lab import home
from lab.faults import fault
from lab.lab import Lab


@fault(
    "environment-not-named",
    service="configuration",
    fails=["configuration/availability::environment_is_named"],
    blocks=["configuration/consistency::required_values_are_set"],
    root="configuration/availability::environment_is_named",
    schedule="predeploy",
    outcome="person",
)
def environment_not_named(lab: Lab) -> None:
    """NIGHTSCAN_ENV is not set."""
    lab.rewrite_env(NIGHTSCAN_ENV=None)


@fault(
    "configuration-broken",
    service="configuration",
    fails=["configuration/availability::configuration_file_parses"],
    blocks=["configuration/consistency::pools_fit_the_database"],
    root="configuration/availability::configuration_file_parses",
    schedule="predeploy",
    outcome="person",
)
def configuration_broken(lab: Lab) -> None:
    """The JSON file ends in the middle, as a copy that was interrupted does."""
    path = home.config_file(lab.site)
    text = path.read_text()
    lab.replace_file(path, text[: len(text) // 2])


@fault(
    "env-file-broken",
    service="configuration",
    fails=["configuration/availability::env_file_parses"],
    blocks=[
        "configuration/consistency::required_values_are_set",
        "configuration/deployment::compose_file_has_its_variables",
        "configuration/deployment::images_have_a_fixed_tag",
        "web/version::version_served_is_the_version_deployed",
        "ml/version::version_served_is_the_version_deployed",
    ],
    root="configuration/availability::env_file_parses",
    schedule="predeploy",
    outcome="person",
)
def env_file_broken(lab: Lab) -> None:
    """A line of .env has lost its value, and its closing quote."""
    path = home.env_file(lab.site)
    lab.replace_file(path, path.read_text() + "SLACK_WEBHOOK_URL='https\n")


@fault(
    "restore-killed",
    service="configuration",
    fails=["configuration/changes::nothing_is_half_done"],
    outcome="person",
)
def restore_killed(lab: Lab) -> None:
    """A restore into production was killed in the middle of its exchange, and nobody has ended it."""
    gone = asdict(replace(Process.current(), started=0))
    told = Restore("lab-fault", "20261101T020000Z", "local", ["database"], clock.iso(clock.now()), gone, EXCHANGING)
    lab.replace_file(lab.site.path("restores", told.id, NAME), json.dumps(told.to_json()))


@fault(
    "variable-missing",
    service="configuration",
    fails=["configuration/consistency::required_values_are_set"],
    schedule="predeploy",
    outcome="person",
)
def variable_missing(lab: Lab) -> None:
    """The key that signs tokens is set nowhere: the JSON has it masked."""
    lab.rewrite_env(JWT_SECRET_KEY=None)
    lab.edit_config(security={"jwt_secret": "***masked***"})


@fault(
    "value-from-example",
    service="configuration",
    fails=["configuration/consistency::no_value_is_left_from_the_example"],
    schedule="predeploy",
    outcome="person",
)
def value_from_example(lab: Lab) -> None:
    """The administrator's address is still the one of the example file."""
    lab.rewrite_env(ADMIN_EMAIL="admin@your-domain.com")


@fault(
    "pools-too-large",
    service="configuration",
    fails=["configuration/consistency::pools_fit_the_database"],
    schedule="predeploy",
    outcome="person",
)
def pools_too_large(lab: Lab) -> None:
    """Each worker may open a hundred connections, more than the database has for all."""
    lab.edit_config(database={"pool_size": 100})


@fault(
    "secret-placeholder",
    service="configuration",
    fails=[
        "configuration/security::no_secret_is_a_placeholder",
        "configuration/consistency::no_value_is_left_from_the_example",
    ],
    schedule="predeploy",
    outcome="person",
)
def secret_placeholder(lab: Lab) -> None:
    """The mail password is still the placeholder of the example file."""
    lab.rewrite_env(SMTP_PASSWORD="CHANGE_ME_STRONG_PASSWORD")


@fault(
    "secret-default",
    service="configuration",
    fails=["configuration/security::no_secret_is_a_placeholder"],
    schedule="predeploy",
    outcome="person",
)
def secret_default(lab: Lab) -> None:
    """The mail password is a word that everybody tries first."""
    lab.rewrite_env(SMTP_PASSWORD="Password123")


@fault(
    "secret-short",
    service="configuration",
    fails=["configuration/security::no_secret_is_short"],
    schedule="predeploy",
    outcome="person",
)
def secret_short(lab: Lab) -> None:
    """The mail password has five characters."""
    lab.rewrite_env(SMTP_PASSWORD="k3#vQ")


@fault(
    "secret-twice",
    service="configuration",
    fails=["configuration/security::secrets_differ"],
    schedule="predeploy",
    outcome="person",
)
def secret_twice(lab: Lab) -> None:
    """Sessions and forms are signed with the same key."""
    lab.rewrite_env(CSRF_SECRET_KEY=lab.site.secret("secret-key"))


@fault(
    "secrets-readable",
    service="configuration",
    fails=["configuration/security::secret_files_are_private"],
    schedule="predeploy",
    outcome="person",
)
def secrets_readable(lab: Lab) -> None:
    """Everybody on the machine may read .env."""
    lab.change_mode(home.env_file(lab.site), 0o644)


@fault(
    "debug-on",
    service="configuration",
    fails=["configuration/consistency::production_is_not_in_debug"],
    schedule="predeploy",
    outcome="person",
)
def debug_on(lab: Lab) -> None:
    """Production runs in debug."""
    lab.edit_config(security={"debug": True})


@fault(
    "protection-off",
    service="configuration",
    fails=["configuration/consistency::protection_is_on"],
    schedule="predeploy",
    outcome="person",
)
def protection_off(lab: Lab) -> None:
    """Somebody switched the protection against forged forms off."""
    lab.edit_config(security={"csrf_enabled": False})


@fault(
    "origins-open",
    service="configuration",
    fails=["configuration/consistency::only_known_sites_may_call"],
    schedule="predeploy",
    outcome="person",
)
def origins_open(lab: Lab) -> None:
    """Scripts of any site may act for a user."""
    lab.edit_config(security={"allowed_origins": ["*"]})


@fault(
    "compose-broken",
    service="configuration",
    fails=[
        "configuration/deployment::compose_file_parses",
        "configuration/deployment::compose_file_has_its_variables",
        "configuration/deployment::images_have_a_fixed_tag",
    ],
    schedule="predeploy",
    outcome="person",
)
def compose_broken(lab: Lab) -> None:
    """The compose file is not YAML any more."""
    path = home.compose_file(lab.site)
    lab.replace_file(path, path.read_text() + "\n  web: [\n")


@fault(
    "compose-variable-missing",
    service="configuration",
    fails=["configuration/deployment::compose_file_has_its_variables"],
    schedule="predeploy",
    outcome="person",
)
def compose_variable_missing(lab: Lab) -> None:
    """The compose file uses a password that is not set."""
    lab.rewrite_env(DB_PASSWORD=None)


@fault(
    "image-latest",
    service="configuration",
    fails=[
        "configuration/deployment::images_have_a_fixed_tag",
        "web/version::version_served_is_the_version_deployed",  # nobody can tell what is served
        "ml/version::version_served_is_the_version_deployed",
    ],
    schedule="predeploy",
    outcome="person",
)
def image_latest(lab: Lab) -> None:
    """The version to deploy is whatever was built last."""
    lab.rewrite_env(VERSION="latest")


@fault(
    "image-missing",
    service="configuration",
    fails=["configuration/deployment::images_are_there"],
    schedule="predeploy",
    outcome="person",
)
def image_missing(lab: Lab) -> None:
    """The container engine does not have the images of the version to deploy.

    The lab has no engine: the command `false` stands for one that finds nothing.
    """
    lab.change_setting("facts.deploy.engine", "false")

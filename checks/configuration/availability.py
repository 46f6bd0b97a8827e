"""Whether the system's configuration is there and can be read; when it is not, nothing else about it can be judged."""

from pytest_runbook import check


@check("predeploy daily", severity="P1", runbook="configuration-invalid")
async def test_environment_is_named(system, settings, facts):
    """The environment is named: NIGHTSCAN_ENV says development, staging or production (guide G01)."""
    name = settings.system.environment_variable
    value = system.environment.get(name)
    assert value, f"{name} is not set: nobody knows which environment this is"
    assert value in facts.environment.names, f'{name} is "{value}", not one of {", ".join(facts.environment.names)}'


@check("predeploy daily", severity="P1", runbook="configuration-invalid")
async def test_configuration_file_parses(system, settings):
    """The file that NIGHTSCAN_CONFIG_FILE names is there and is JSON (guide G01)."""
    name = settings.system.config_file_variable
    assert system.config_file, f"{name} is not set: nobody knows which configuration is used"
    assert not system.config_error, f"the configuration cannot be read: {system.config_error}"


@check("predeploy daily", severity="P1", runbook="configuration-invalid")
async def test_env_file_parses(system):
    """The .env file, where there is one, can be read: a line that is cut off loses the variables below it."""
    assert not system.env_error, f"the variables cannot be read: {system.env_error}"

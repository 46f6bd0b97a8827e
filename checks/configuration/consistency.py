"""Whether the configuration is complete, and is one for production."""

import re

import pytest
from pytest_runbook import check


@check("predeploy daily", severity="P1", runbook="configuration-invalid")
async def test_required_values_are_set(system, facts):
    """Everything that the system must be told is told, as a variable or in its JSON (guide G03).

    `A or b.c` in `facts.environment.required`: the variable A and the JSON's key b.c serve the same purpose.
    """
    missing = [names for names in facts.environment.required if system.told.keys().isdisjoint(names.split(" or "))]
    assert not missing, f"not set: {'; '.join(missing)}"


@check("predeploy daily", severity="P1", runbook="configuration-invalid")
async def test_no_value_is_left_from_the_example(system, facts):
    """No value is the one that the example files ship to be replaced (guide G03)."""
    pattern = re.compile("|".join(facts.environment.examples), re.IGNORECASE)
    left = [name for name, value in system.told.items() if isinstance(value, str) and pattern.fullmatch(value)]
    assert not left, f"still as in the example: {', '.join(left)}"


@check("predeploy daily", severity="P1", runbook="configuration-invalid")
async def test_production_is_not_in_debug(system, settings, facts):
    """Nothing is in debug: no debugger for strangers, no development server, no log that tells everything (guide G03)."""
    _not_in_development(settings)
    told = {**system.environment, **system.keys}
    on = {
        name: told[name]
        for name in facts.environment.debug
        if str(told.get(name)).lower() in facts.environment.debug_words
    }
    assert not on, f"debug is on: {', '.join(f'{name} is {value}' for name, value in on.items())}"


@check("predeploy daily", severity="P1", runbook="configuration-invalid")
async def test_protection_is_on(system, settings, facts):
    """Nobody has switched off what protects users: secure cookies hidden from scripts, forged forms refused (guide G03).

    A switch that the configuration leaves out is on; what browsers really get is looked at behind the proxy.
    """
    _not_in_development(settings)
    wanted = facts.web.security
    told = {name: system.key(name) for name in wanted}
    off = [f"{name} is {value}" for name, value in told.items() if value not in (None, wanted[name])]
    assert not off, f"{system.config_file} switches protection off: {', '.join(off)}"


@check("predeploy daily", severity="P2", runbook="configuration-invalid")
async def test_only_known_sites_may_call(system, settings, facts):
    """Scripts of other sites may not act for a user: the interface does not allow every origin."""
    _not_in_development(settings)
    allowed = system.key(facts.web.origins) or ()
    assert "*" not in allowed, f'{facts.web.origins} allows every origin ("*")'


@check("predeploy daily", severity="P3", runbook="configuration-invalid", needs="database", unmeasured="P3")
async def test_pools_fit_the_database(database, facts):
    """The application's pools may not open more connections than the database has: else users meet errors when many come.

    Where a pooler stands between them this does not apply: a waiver says so.
    """
    each = facts.database.pool_size + facts.database.pool_overflow
    available = (await database.connections()).available
    assert each * facts.web.workers <= available, (
        f"{facts.web.workers} workers may open {each} connections each, and the database has {available} for all"
    )


def _not_in_development(settings):
    if settings.system.environment == "development":
        pytest.skip("a development system may be open")

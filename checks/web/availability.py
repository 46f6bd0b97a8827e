"""Whether users reach the web service and it can do its work; the first of these that fails explains everything above it."""

import json

import pytest
from pytest_runbook import Unmeasured, Unreachable, check


def pytest_generate_tests(metafunc):
    """One check for each page that the settings name."""
    if "page" in metafunc.fixturenames:
        session = metafunc.config.pluginmanager.get_plugin("runbook-session")
        metafunc.parametrize("page", session.settings.facts.web.pages)


@check("predeploy", severity="P1", runbook="web-unavailable")
async def test_port_is_free_or_ours(web, facts):
    """The web service's port is free, or the web service holds it: nothing else answers there."""
    try:
        answer = await web.get(facts.web.health)
    except Unreachable as silence:
        pytest.skip(f"nobody answers there: {silence}")
    # What answers 5xx may be the service in trouble: the next check tells.
    foreign = answer.status_code < 500 and "status" not in _said(answer)
    assert not foreign, (
        f'something else holds {web.target}: it answered {answer.status_code} with "{_beginning(answer)}"'
    )


@check("predeploy postdeploy daily recovery", severity="P1", runbook="web-unavailable")
async def test_health_endpoint_answers(web, facts):
    """Users reach the web service: its health endpoint answers 200 and says that it is healthy."""
    answer = await web.get(facts.web.health)
    assert answer.status_code == 200, f'{facts.web.health} answered {answer.status_code} with "{_beginning(answer)}"'
    assert _said(answer).get("status") == "healthy", f'{facts.web.health} answered 200 and said "{_beginning(answer)}"'


@check("predeploy postdeploy daily recovery", severity="P1", runbook="web-unavailable")
async def test_ready_to_serve(web, facts):
    """The web service can work: it reaches its database and cache, and has disk and memory."""
    answer = await web.get(facts.web.ready)
    said = _said(answer)
    missing = [name for name, good in said.get("checks", {}).items() if not good]
    assert not missing, f"the web service is not ready, it lacks: {', '.join(missing)}"
    assert (answer.status_code, said.get("status")) == (200, "ready"), (
        f'{facts.web.ready} answered {answer.status_code} with "{_beginning(answer)}"'
    )


@check("predeploy postdeploy daily recovery", severity="P1", runbook="web-unavailable")
async def test_page_opens(web, facts, page):
    """A page that every user meets opens, and is the application's own."""
    answer = await web.get(page)
    if answer.status_code == 429:
        raise Unmeasured(f"{page} answered 429: it limits how often the checks may ask, which says nothing of users")
    assert answer.status_code == 200, f'{page} answered {answer.status_code} with "{_beginning(answer)}"'
    assert facts.web.page_text in answer.text, (
        f'{page} answered 200 without the words "{facts.web.page_text}": it began "{_beginning(answer)}"'
    )


def _said(answer):
    """The JSON object in ANSWER; empty when it is something else."""
    try:
        said = json.loads(answer.content)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _beginning(answer):
    """The first words of ANSWER, on one line."""
    return " ".join(answer.text[:400].split())[:80]

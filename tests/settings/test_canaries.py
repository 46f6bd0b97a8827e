"""A canary is declared with a manager, a unit and addresses of its own; every fault is told when the settings are loaded."""

from __future__ import annotations

import pytest

from .conftest import Project

DECLARED = """
[managers.production]
kind = "systemd"
[services.shelf]
manager = "production"
unit = "shop-shelf"
[probes.numbers]
kind = "metrics"
url = "http://localhost:8000/metrics"
[deploy.health.web]
probe = "web"
"""
CANARY = """
[deploy.canary.web]
manager = "production"
unit = "shop-web-canary"
probes = { web = "http://localhost:8100", numbers = "http://localhost:8100/metrics" }
"""


def test_canary_is_read(project: Project) -> None:
    project.settings(DECLARED + CANARY)
    canary = project.load().settings.deploy.canary["web"]
    assert (canary.manager, canary.unit) == ("production", "shop-web-canary")
    assert canary.probes == {"web": "http://localhost:8100", "numbers": "http://localhost:8100/metrics"}


@pytest.mark.parametrize(
    ("right", "wrong", "problem"),
    [
        ("canary.web", "canary.wbe", 'deploy.canary.wbe: unknown service "wbe" (known: database, shelf, web)'),
        ('"production"', '"prod"', 'deploy.canary.web.manager: unknown manager "prod" (known: production)'),
        ('"production"', '"prod"', "declare [managers.prod] with its kind"),
        ('manager = "production"', "", "deploy.canary.web.manager: missing"),
        ('unit = "shop-web-canary"', "", "deploy.canary.web.unit: missing"),
        ('"shop-web-canary"', '"--all"', "deploy.canary.web.unit: string should match pattern"),
        (
            '"shop-web-canary"',
            '"shop-shelf"',
            'deploy.canary.web.unit: "shop-shelf" is the service "shelf" itself: a canary is a unit of its own',
        ),
        (
            "web = ",
            "wbe = ",
            'deploy.canary.web.probes.wbe: unknown probe with a url "wbe" (known: numbers, web)',
        ),
        (
            "web = ",
            "database = ",
            'deploy.canary.web.probes.database: unknown probe with a url "database" (known: numbers, web)',
        ),
        (
            'web = "http://localhost:8100",',
            "",
            'deploy.canary.web.probes: "web" is missing: it asks whether "web" is well (deploy.health.web)',
        ),
        ('"http://localhost:8100",', '"localhost:8100",', "deploy.canary.web.probes.web: must be an address such as"),
        ('"http://localhost:8100",', '"http://a:b@localhost",', "should hold no user and no password"),
        ('probes = { web = "http://localhost:8100",', "probes = {}\n[deploy.canary.x]\nx = {", "at least 1 item"),
        ("probes =", "pobes =", "deploy.canary.web.pobes: unknown key"),
    ],
)
def test_faults_are_told(project: Project, right: str, wrong: str, problem: str) -> None:
    assert right in CANARY
    project.settings(DECLARED + CANARY.replace(right, wrong))
    assert problem in project.refused()

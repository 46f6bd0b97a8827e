"""What a run loads: nothing that it does not use, so that it starts quickly."""

from __future__ import annotations

from .conftest import Project

LATE = (
    "rich",
    "httpx",
    "psycopg",
    "redis",
    "boto3",
    "pynvml",
    "xdist.scheduler",
    "allure_commons.model2",
    "smtplib",
    "sqlalchemy",
)


def test_a_run_loads_only_what_it_uses(project: Project) -> None:
    project.checks("web/pages.py", 'def test_x():\n    "X."\n    assert True\n')
    project.write("conftest.py", "import sys\ndef pytest_unconfigure(): print('loaded:', *sys.modules)\n")

    run = project.run("--set", "report.formats=[]", "-p", "no:allure_pytest")

    assert run.code == 0, run.output
    loaded = run.output.partition("loaded:")[2].split()
    assert "pytest_runbook.session" in loaded
    assert [name for name in LATE if name in loaded] == []

"""Every name is verified at collection, all faults are told at once, and nothing runs."""

from __future__ import annotations

import subprocess

import pytest

from .conftest import Project

BAD = """
    @check("daly", severity="P9")
    async def test_a():
        "A."
        assert True

    @check("daily", service="wbe", needs="databse")
    async def test_b():
        "B."
        assert True

    @check("daily", runbook="restart-all", timeout=-1)
    async def test_c():
        "C."
        assert True

    @check("daily", id="web/same::name")
    async def test_d():
        "D."
        assert True

    @check("daily", id="web/same::name")
    async def test_e():
        "E."
        assert True

    @check("daily")
    async def test_asserts_nothing():
        "Looks, and judges nothing."
        await asyncio.sleep(0)

    @check("daily")
    async def test_asserts_only_in_a_loop():
        "Passes on an empty list."
        for one in []:
            assert one

    @check("daily")
    @pytest.mark.xfail
    async def test_hidden():
        "Hidden for ever."
        assert False
"""


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["serial", "xdist"])
def test_all_bad_names_are_told_at_once_with_the_known_ones(project: Project, options: tuple[str, ...]) -> None:
    project.write("remediation/web-down.py", '"""Restart web."""\n')
    project.checks("web/pages.py", BAD)
    run = project.run(*options)
    assert run.code == 4
    for expected in (
        'unknown schedule "daly" (known: daily, drill, monthly, postdeploy, predeploy, weekly)',
        'unknown severity "P9" (known: P1, P2, P3)',
        'unknown service "wbe" (known: database, host, web)',
        'unknown service "databse" (known: database, host, web)',
        'unknown runbook "restart-all" (known: web-down)',
        'timeout "-1" is not a number of seconds above 0',
        'id "web/same::name" is taken by checks/web/pages.py:',
        "xfail on a check hides a failure for ever",
    ):
        assert expected in run.output
    assert run.output.count("asserts nothing outside of a loop") == 2
    assert "checks/web/pages.py:" in run.output
    assert not (run.folder / "run.json").exists()


def test_an_unknown_option_of_a_plain_mark_is_named(project: Project) -> None:
    project.checks(
        "web/pages.py",
        """
        @pytest.mark.check("daily", sevrity="P1")
        async def test_a():
            "A."
            assert True
        """,
    )
    run = project.run()
    assert run.code == 4
    assert 'unknown option of check "sevrity"' in run.output


def test_an_unknown_name_in_the_mark_expression_is_an_error(project: Project) -> None:
    project.checks("web/pages.py", '@check("daily")\nasync def test_a():\n    "A."\n    assert True\n')
    run = project.run("-m", "daily and not wekly")
    assert run.code == 4
    assert 'unknown mark in -m "wekly"' in run.output


def test_plain_marks_do_what_the_decorator_does(project: Project) -> None:
    project.write("remediation/web-down.py", '"""Restart web."""\n')
    project.checks(
        "web/pages.py",
        """
        @pytest.mark.daily
        @pytest.mark.p1
        @pytest.mark.service("host")
        @pytest.mark.runbook("web-down")
        async def test_a():
            "A."
            assert True
        """,
    )
    run = project.run("-m", "daily and p1 and host")
    check = run.results["host/pages::a"].check
    assert (check.severity, check.schedules, check.service, check.runbook) == ("P1", ("daily",), "host", "web-down")


def test_marks_are_documented(project: Project) -> None:
    run = project.run("--markers")
    assert run.code == 0
    for line in (
        "@pytest.mark.check(schedules,",
        "@pytest.mark.p1: severity P1",
        "@pytest.mark.drill: schedule:",
        "@pytest.mark.web: service",
    ):
        assert line in run.output


def test_collect_only_reads_like_the_guide(project: Project) -> None:
    project.write("remediation/web-down.py", '"""Restart web."""\n')
    project.checks(
        "web/pages.py",
        """
        @check("daily", severity="P1", runbook="web-down")
        async def test_login_page_opens():
            "Users can open the login page."
            assert True

        @check("weekly")
        async def test_other():
            "Not this one."
            assert True
        """,
    )
    run = project.run("--collect-only", "-m", "daily")
    assert run.code == 0
    assert "P1  Users can open the login page." in run.output
    assert "web/pages::login_page_opens · daily → web-down" in run.output
    assert "Not this one." not in run.output
    assert not run.folder.exists()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("[system]\nname = 'x'\nunknown_key = 1\n", "unknown_key"),
        ("[system\n", "shop.toml"),
        ("[services.web]\ndepends = ['nothing']\n", "nothing"),
        ("gate = 'P7'\n", "P7"),
    ],
)
def test_bad_settings_stop_the_run(project: Project, change: str, expected: str) -> None:
    project.write("shop.toml", change)
    project.checks("web/pages.py", '@check("daily")\nasync def test_a():\n    "A."\n    assert True\n')
    run = project.run()
    assert run.code == 4
    assert expected in run.output
    assert "Traceback" not in run.output


def test_a_missing_settings_file_is_named(project: Project) -> None:
    run = project.run("--settings", "none.toml")
    assert run.code == 4
    assert "none.toml" in run.output


def test_a_folder_that_cannot_be_written_is_named(project: Project) -> None:
    project.checks("web/pages.py", '@check("daily")\nasync def test_a():\n    "A."\n    assert True\n')
    project.write("file", "")
    run = project.run("--report", "file/below")
    assert run.code == 4
    assert 'cannot write the run to "file/below"' in run.output
    assert "--report" in run.output


def test_options_of_the_engine_without_settings_are_an_error(project: Project) -> None:
    project.write("pytest.ini", "[pytest]\n")
    project.write("test_x.py", "def test_x():\n    assert True\n")
    run = project.run("test_x.py", "--gate=P1")
    assert run.code == 4
    assert '"--report" needs settings' in run.output


def test_without_settings_the_plugin_takes_no_part(project: Project) -> None:
    project.write("pytest.ini", "[pytest]\n")
    project.write("test_x.py", "def test_x():\n    assert True\n")
    command = [word for word in project.command("test_x.py") if "report" not in word]
    done = subprocess.run(
        command, cwd=project.folder, env=project.environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0
    assert "1 passed" in done.stdout
    assert "runbook:" not in done.stdout
    assert sorted(path.name for path in project.folder.iterdir() if path.name != "__pycache__") == [
        "pytest.ini",
        "shop.toml",
        "test_x.py",
    ]

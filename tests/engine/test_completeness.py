"""A run with a hole in it is never green, whatever made the hole."""

from __future__ import annotations

import pytest

from .conftest import Project

GOOD = """
    @check("daily")
    async def test_good():
        "Good."
        assert True
"""


@pytest.mark.parametrize("options", [("-n", "2"), ("--continue-on-collection-errors",)])
def test_a_file_that_cannot_be_imported(project: Project, options: tuple[str, ...]) -> None:
    project.checks("web/pages.py", GOOD)
    project.checks("web/broken.py", "import no_such_module\n")
    run = project.run(*options)
    assert run.code == 1
    assert run.outcomes == {"web/pages::good": "passed"}
    assert '"checks/web/broken.py" could not be read: its checks did not run' in run.record.problems
    assert "PASSED" not in run.output.splitlines()[-1]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [("shop.json", '{"a": ', "shop.json:1: broken JSON"), (".env", "A B\n", ".env:1: broken line")],
)
def test_a_part_of_the_settings_that_cannot_be_read(project: Project, name: str, text: str, said: str) -> None:
    settings = project.folder / "shop.toml"
    told = 'config_file_variable = "SHOP_JSON"\nenv_file = ".env"\n'
    settings.write_text(settings.read_text().replace("[system]\n", f"[system]\n{told}"))
    project.checks("web/pages.py", GOOD)
    project.write(name, text)
    run = project.run(env={"SHOP_JSON": "shop.json"} if name == "shop.json" else None)
    assert (run.code, run.outcomes) == (1, {"web/pages::good": "passed"})
    (problem,) = run.record.problems
    assert "the run went on without a part of its settings" in problem
    assert run.record.reasons == ["a part of the settings could not be read"]
    assert said in problem
    assert "PASSED" not in run.output.splitlines()[-1]


def test_an_exit_with_status_0_in_the_middle(project: Project) -> None:
    project.checks(
        "web/b.py", '@check("daily")\ndef test_a():\n    "A."\n    pytest.exit("enough", returncode=0)\n    assert 1\n'
    )
    project.checks("web/a.py", GOOD)
    project.checks("web/c.py", GOOD)
    run = project.run()
    assert run.code == 1
    assert any("2 selected checks were not judged" in problem for problem in run.record.problems)
    assert run.record.reasons == ["not all that was selected was judged"]


def test_a_worker_that_dies(project: Project) -> None:
    project.checks(
        "web/a.py", '@check("daily")\ndef test_a():\n    "A."\n    import os\n    os._exit(1)\n    assert 1\n'
    )
    project.checks("web/b.py", GOOD)
    run = project.run("-n", "2")
    assert run.code == 1
    assert any("checks/web/a.py::test_a" in problem for problem in run.record.problems)
    assert "PASSED" not in run.output.splitlines()[-1]


def test_failed_subtests_fail_their_check(project: Project) -> None:
    project.checks(
        "web/pages.py",
        """
        @check("daily")
        def test_rows(subtests):
            "Rows are good."
            rows = [1, 0, 1]
            assert rows
            for row in rows:
                with subtests.test(row=row):
                    assert row
        """,
    )
    run = project.run()
    assert (run.code, run.outcomes) == (1, {"web/pages::rows": "failed"})


def test_a_broken_tear_down_does_not_soften_a_failure(project: Project) -> None:
    project.checks(
        "web/pages.py",
        """
        @pytest.fixture
        def session():
            yield
            raise RuntimeError("logging out failed")

        @check("daily", severity="P1", unmeasured="P3")
        async def test_login(session):
            "Users log in."
            assert False, "users cannot log in"
        """,
    )
    run = project.run()
    result = run.results["web/pages::login"]
    assert (run.code, result.outcome, result.message) == (1, "failed", "users cannot log in")
    assert any("logging out failed" in problem for problem in run.record.problems)


def test_a_persons_waiver_covers_what_it_names_and_no_more(project: Project) -> None:
    project.settings(
        '[[waivers]]\ncheck = "web/availability::minor"\nowner = "ann"\nreason = "OPS-7"\nexpires = "2999-01-01"\n'
    )
    project.checks(
        "web/availability.py",
        """
        @check("daily", severity="P3")
        async def test_minor():
            "Minor."
            assert False

        @check("daily", severity="P1")
        async def test_login():
            "Users log in."
            assert False
        """,
    )
    run = project.run()
    assert run.code == 1
    assert run.outcomes == {"web/availability::minor": "waived", "web/availability::login": "failed"}


def test_services_that_need_each_other_end_with_one_root(project: Project) -> None:
    for own, other in (("web", "host"), ("host", "web")):
        project.checks(
            f"{own}/availability.py",
            f'@check("daily", needs="{other}")\nasync def test_up():\n    "Up."\n    assert False\n',
        )
    run = project.run()
    assert run.code == 1
    assert sorted(run.outcomes.values()) == ["blocked-by", "failed"]


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["serial", "xdist"])
def test_half_a_character_in_a_message_stops_nothing(project: Project, options: tuple[str, ...]) -> None:
    project.checks("web/a.py", '@check("daily")\nasync def test_a():\n    "A."\n    assert False, "caf\\udce9"\n')
    project.checks("web/b.py", GOOD)
    run = project.run(*options)
    assert run.code == 1
    assert run.outcomes == {"web/a::a": "failed", "web/b::good": "passed"}
    assert run.journal.finished is not None


def test_a_folder_that_is_used_again_tells_the_last_run_only(project: Project) -> None:
    project.checks("web/a.py", GOOD)
    project.checks("web/b.py", GOOD)
    project.run()
    run = project.run("-k", "b.py")
    assert {r.check.id for r in run.journal.results} == {"web/b::good"}


@pytest.mark.parametrize("options", [(), ("-n", "2")])
def test_a_file_that_skips_itself(project: Project, options: tuple[str, ...]) -> None:
    project.checks("web/pages.py", GOOD)
    project.checks("web/optional.py", f'    pytest.importorskip("no_such_module")\n{GOOD}')
    run = project.run(*options)
    assert (run.code, run.outcomes) == (1, {"web/pages::good": "passed"})
    (problem,) = run.record.problems
    assert '"checks/web/optional.py" skips itself as a whole, so none of its checks ran: ' in problem
    assert "no_such_module" in problem
    assert "PASSED" not in run.output.splitlines()[-1]


@pytest.mark.parametrize("options", [(), ("-n", "2")])
def test_a_check_whose_name_is_not_that_of_a_test(project: Project, options: tuple[str, ...]) -> None:
    project.checks("web/pages.py", GOOD)
    project.checks("web/misnamed.py", GOOD.replace("test_good", "answers"))
    run = project.run(*options)
    assert run.code == 4
    assert "checks/web/misnamed.py::answers: a check that pytest does not collect" in run.output


def test_what_was_left_out_is_part_of_what_was_asked_for(project: Project) -> None:
    project.checks("web/pages.py", GOOD)
    project.checks("web/others.py", GOOD)
    run = project.run("-m", "daily", "--deselect=checks/web/others.py", env={"PYTEST_ADDOPTS": "--ignore=checks/ml"})
    assert (run.code, run.outcomes) == (0, {"web/pages::good": "passed"})
    assert run.record.selection == '-m "daily" --ignore=checks/ml --deselect=checks/web/others.py'

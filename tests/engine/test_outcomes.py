"""Each way a check can end has its own outcome, and the exit code follows severity and gate."""

from __future__ import annotations

import pytest

from .conftest import Project

CHECKS = """
    @check("daily", severity="P2")
    async def test_passes():
        "Passes."
        assert True

    @check("daily", severity="P2")
    async def test_fails():
        "Fails."
        assert 1 == 2, "one is not two"

    @check("daily", severity="P3")
    async def test_cannot_see():
        "Cannot see."
        raise Unmeasured("no privilege to look\\n  hint: GRANT pg_monitor TO checks")
        assert False

    @check("daily", severity="P3")
    async def test_unreachable():
        "Is not there."
        raise Unreachable("web:1 refused the connection")
        assert False

    @check("daily", severity="P3")
    async def test_crashes():
        "Has a fault of its own."
        assert {}["missing"]

    @check("daily", severity="P3")
    async def test_may_not_read():
        "Reads a file that is closed to it."
        raise PermissionError(13, "Permission denied", "/opt/shop/recordings")
        assert False

    @check("daily", timeout=0.2)
    async def test_hangs():
        "Never ends."
        await asyncio.sleep(60)
        assert False

    @check("daily", timeout=0.2)
    def test_hangs_blocking():
        "Never ends, as a plain function."
        import time
        time.sleep(60)
        assert False

    @check("daily")
    async def test_skips():
        "Does not apply."
        pytest.skip("no GPU here")
        assert False

    @check("daily")
    @pytest.mark.skipif(True, reason="not on this system")
    async def test_marked_skip():
        "Does not apply."
        assert False

    @pytest.fixture
    def broken():
        raise RuntimeError("set-up broke")

    @check("daily", severity="P3")
    async def test_setup_breaks(broken):
        "Cannot run."
        assert True

    @pytest.fixture
    def leaves():
        yield
        raise RuntimeError("tear-down broke")

    @check("daily", severity="P3")
    def test_teardown_breaks(leaves):
        "Cannot clean up."
        assert True
"""


def test_each_way_to_end_has_its_outcome_and_message(project: Project) -> None:
    project.checks("web/pages.py", CHECKS)
    run = project.run()
    assert run.code == 1
    assert run.outcomes == {
        "web/pages::passes": "passed",
        "web/pages::fails": "failed",
        "web/pages::cannot_see": "unmeasured",
        "web/pages::unreachable": "unmeasured",
        "web/pages::crashes": "unmeasured",
        "web/pages::may_not_read": "unmeasured",
        "web/pages::hangs": "timed-out",
        "web/pages::hangs_blocking": "timed-out",
        "web/pages::skips": "skipped",
        "web/pages::marked_skip": "skipped",
        "web/pages::setup_breaks": "unmeasured",
        "web/pages::teardown_breaks": "unmeasured",
    }
    messages = {name.partition("::")[2]: result.message for name, result in run.results.items()}
    assert messages["fails"] == "one is not two"
    assert messages["cannot_see"] == "no privilege to look"
    hints = {name.partition("::")[2]: result.hint for name, result in run.results.items() if result.hint}
    assert hints.pop("may_not_read").startswith("let user ")
    assert hints == {"cannot_see": "GRANT pg_monitor TO checks"}
    assert messages["may_not_read"] == '"/opt/shop/recordings" cannot be read: permission denied'
    assert messages["crashes"] == "the check crashed: KeyError: 'missing'"
    assert messages["hangs"] == messages["hangs_blocking"] == "no result after 200 ms"
    assert messages["skips"] == "no GPU here"
    assert messages["marked_skip"] == "not on this system"
    assert "set-up broke" in messages["setup_breaks"]
    assert "tear-down broke" in messages["teardown_breaks"]
    assert 0.2 <= run.results["web/pages::hangs"].duration < 30


def test_the_journal_and_the_record_agree_on_a_real_run(project: Project) -> None:
    project.checks("web/pages.py", CHECKS)
    run = project.run()
    told = {r.check.id: r.to_json() for r in run.journal.results}
    assert told == {name: result.to_json() for name, result in run.results.items()}
    assert run.journal.finished is not None


def test_an_unreachable_target_is_the_failure_itself_in_an_availability_check(project: Project) -> None:
    project.checks(
        "web/availability.py",
        """
        @check("daily", severity="P1")
        async def test_answers():
            "Web answers."
            raise Unreachable("web:1 refused the connection")
            assert False
        """,
    )
    run = project.run()
    assert run.outcomes == {"web/availability::answers": "failed"}
    assert "web:1 refused the connection" in run.output.splitlines()[-1]


@pytest.mark.parametrize(
    ("severity", "body", "gate", "code"),
    [
        ("P3", "assert False", "P2", 0),
        ("P3", "assert False", "P3", 1),
        ("P2", "assert False", "P2", 1),
        ("P2", "assert False", "P1", 0),
        ("P3", "raise Unmeasured('blind')", "P1", 1),
    ],
)
def test_the_gate_says_from_which_severity_a_failure_counts(
    project: Project, severity: str, body: str, gate: str, code: int
) -> None:
    project.checks(
        "web/pages.py",
        f"""
        @check("daily", severity="{severity}")
        async def test_x():
            "X."
            {body}
            assert False

        @check("daily")
        async def test_y():
            "Y."
            assert True
        """,
    )
    assert project.run("--gate", gate).code == code


def test_unmeasured_gates_as_the_check_says(project: Project) -> None:
    project.checks(
        "web/pages.py",
        """
        @check("daily", unmeasured="P3")
        async def test_x():
            "X."
            raise Unmeasured("blind")
            assert False
        """,
    )
    run = project.run()
    assert (run.code, run.outcomes) == (0, {"web/pages::x": "unmeasured"})


def test_a_run_that_judged_nothing_is_not_green(project: Project) -> None:
    project.checks(
        "web/pages.py",
        """
        @check("daily")
        async def test_x():
            "X."
            pytest.skip("not today")
            assert False
        """,
    )
    assert project.run().code == 5
    assert project.run("-m", "weekly").code == 5


def test_stopping_early_is_not_green_even_below_the_gate(project: Project) -> None:
    project.checks(
        "web/pages.py",
        """
        @check("daily", severity="P3")
        async def test_a():
            "A."
            assert False

        @check("daily")
        async def test_b():
            "B."
            assert True
        """,
    )
    run = project.run("-x")
    assert run.code == 1
    assert "1 selected checks were not judged: checks/web/pages.py::test_b" in run.output


def test_a_plain_test_takes_part_and_still_fails_the_run(project: Project) -> None:
    project.checks("web/pages.py", "def test_plain():\n    assert False\n")
    run = project.run()
    assert (run.code, run.outcomes) == (1, {"web/pages::plain": "failed"})


def test_an_import_error_in_a_check_file_is_never_green(project: Project) -> None:
    project.checks("web/pages.py", "import no_such_module\n")
    project.checks("web/other.py", '@check("daily")\nasync def test_x():\n    "X."\n    assert True\n')
    run = project.run()
    assert run.code == 2
    assert "no_such_module" in run.output


def test_root_causes_are_told_and_dependants_blocked(project: Project) -> None:
    project.checks(
        "database/availability.py",
        """
        @check("daily", severity="P1")
        async def test_answers():
            "The database answers."
            raise Unreachable("db:5432 refused the connection")
            assert False
        """,
    )
    project.checks(
        "web/availability.py",
        """
        @check("daily", severity="P1")
        async def test_ready():
            "Web is ready."
            assert False, "ready says no"
        """,
    )
    project.checks(
        "database/copies.py",
        """
        @check("daily", severity="P2", apart=True)
        async def test_copy_is_here():
            "A copy of the data lies on this machine."
            assert False, "there is none"
        """,
    )
    run = project.run()
    blocked, apart = run.results["web/availability::ready"], run.results["database/copies::copy_is_here"]
    assert (run.code, blocked.outcome, blocked.root) == (1, "blocked-by", "database/availability::answers")
    assert (apart.check.apart, apart.outcome) == (True, "failed")
    assert "blocks 1" in run.output

"""Checks wait together, are confirmed before they are called failed, and share equal observations."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from pytest_runbook.concurrency.attempts import Confirmation, attempt, attempt_blocking
from pytest_runbook.concurrency.shares import share
from pytest_runbook.errors import Unmeasured
from pytest_runbook.model import Check, Outcome

from .conftest import Project

CHECK = Check("web/pages::x", "X", "P2", "web", ("daily",), subject="pages")


def outcomes_of(script: str, failures: int, of: int, blocking: bool = False) -> tuple[str, int]:
    """Outcome and number of attempts of a check that does what SCRIPT says: p passes, f fails, u cannot see, s skips."""
    steps = iter(script)

    def step() -> None:
        match next(steps):
            case "f":
                raise AssertionError("no")
            case "u":
                raise Unmeasured("blind")
            case "s":
                pytest.skip("not here")

    async def coroutine() -> None:
        step()

    confirm = Confirmation(failures, of, 0.0)
    run_coroutine = attempt(CHECK, coroutine, confirm, 5.0)
    execution = attempt_blocking(CHECK, step, confirm, 5.0) if blocking else asyncio.run(run_coroutine)
    run_coroutine.close()
    return str(execution.outcome), len(execution.attempts)


@pytest.mark.parametrize("blocking", [False, True], ids=["coroutine", "function"])
@pytest.mark.parametrize(
    ("script", "failures", "of", "expected"),
    [
        ("p", 2, 3, ("passed", 1)),
        ("ff", 2, 3, ("failed", 2)),
        ("fpf", 2, 3, ("failed", 3)),
        ("fpp", 2, 3, ("passed", 3)),
        ("f", 1, 1, ("failed", 1)),
        ("fff", 3, 3, ("failed", 3)),
        ("fp", 3, 3, ("passed", 2)),
        ("s", 2, 3, ("skipped", 1)),
        ("fu", 2, 3, ("failed", 2)),
        ("uf", 2, 3, ("failed", 2)),
        ("upu", 2, 3, ("unmeasured", 3)),
        ("fs", 2, 3, ("failed", 2)),
        ("us", 2, 3, ("unmeasured", 2)),
    ],
)
def test_k_of_n_attempts_confirm_a_failure(
    script: str, failures: int, of: int, expected: tuple[str, int], blocking: bool
) -> None:
    assert outcomes_of(script, failures, of, blocking) == expected


def test_shares_are_disjoint_and_complete_and_a_late_worker_has_none() -> None:
    items = list(range(11))
    parts = [share(items, place, 3) for place in range(3)]
    assert sorted(item for part in parts for item in part) == items
    assert share(items, 3, 3) == ()


def test_a_time_out_within_the_check_is_not_the_checks_own_time_out() -> None:
    async def raises() -> None:
        raise TimeoutError("inner")

    execution = asyncio.run(attempt(CHECK, raises, Confirmation(1, 1, 0.0), 5.0))
    assert execution.outcome == Outcome.UNMEASURED


def test_coroutine_checks_run_together_and_each_has_its_own_time(project: Project) -> None:
    project.checks(
        "web/pages.py",
        """
        running = 0
        most = 0

        @check("daily")
        @pytest.mark.parametrize("n", range(30))
        async def test_waits(n):
            "Waits."
            global running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.3)
            running -= 1
            assert n >= 0

        @check("daily")
        def test_the_others_ran_together():
            "Thirty at once."
            assert most == 30
        """,
    )
    run = project.run()
    assert run.code == 0
    assert all(0.3 <= r.duration < 3 for name, r in run.results.items() if "waits" in name)


def test_the_bound_on_checks_at_once_holds(project: Project) -> None:
    project.settings("[concurrency]\ntotal = 4\n")
    project.checks(
        "web/pages.py",
        """
        running = 0
        most = 0

        @check("daily")
        @pytest.mark.parametrize("n", range(12))
        async def test_waits(n):
            "Waits."
            global running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.05)
            running -= 1
            assert n >= 0

        @check("daily")
        def test_bound():
            "Four at once."
            assert most == 4
        """,
    )
    assert project.run().code == 0


def test_checks_with_other_fixtures_classes_and_skips_run_in_turn_on_the_same_loop(project: Project) -> None:
    project.checks(
        "web/pages.py",
        """
        order = []

        @pytest.fixture
        def resource():
            order.append("set-up")
            yield "it"
            order.append("tear-down")

        @check("daily")
        async def test_uses_a_fixture(resource, limits):
            "Uses a fixture."
            order.append("check")
            assert (resource, limits.web.response_time) == ("it", 2.0)

        @check("daily")
        def test_order():
            "In turn."
            assert order == ["set-up", "check", "tear-down"]

        class TestGroup:
            @check("daily")
            async def test_method(self, limits):
                "In a class."
                assert limits.web.response_time == 2.0
        """,
    )
    run = project.run()
    assert run.code == 0, run.output
    assert set(run.outcomes.values()) == {"passed"}


def test_a_skipped_check_is_not_started_ahead(project: Project) -> None:
    project.checks(
        "web/pages.py",
        f"""
        @check("daily")
        @pytest.mark.skip(reason="dangerous now")
        async def test_dangerous():
            "Must not run."
            open({str(project.folder / "touched")!r}, "w").close()
            assert True

        @check("daily")
        async def test_other():
            "Other."
            assert True
        """,
    )
    assert project.run().outcomes == {"web/pages::dangerous": "skipped", "web/pages::other": "passed"}
    assert not (project.folder / "touched").exists()


def test_a_check_that_blocks_the_loop_cannot_hang_the_run(project: Project) -> None:
    project.write("conftest.py", "from pytest_runbook.concurrency import loop\nloop.STUCK = 1.0\nloop.PATIENCE = 0.5\n")
    project.checks(
        "web/pages.py",
        """
        import time

        @check("daily")
        async def test_blocks():
            "Blocks the loop."
            time.sleep(600)
            assert True
        """,
    )
    run = project.run()
    result = run.results["web/pages::blocks"]
    assert (run.code, result.outcome) == (1, "unmeasured")  # by which check, nobody can tell
    assert "the event loop has been blocked" in result.message


def test_a_call_that_hangs_in_a_thread_is_left_behind(project: Project) -> None:
    project.checks(
        "web/pages.py",
        """
        import time
        from pytest_runbook.concurrency.threads import in_thread

        @check("daily", timeout=0.3)
        async def test_hangs_in_a_thread():
            "Hangs in a thread."
            await in_thread(time.sleep, 600)
            assert True
        """,
    )
    run = project.run()
    assert (run.code, run.outcomes) == (1, {"web/pages::hangs_in_a_thread": "timed-out"})


@pytest.mark.parametrize(
    "options", [("-n", "2"), ("-n", "2", "--dist", "loadfile"), ("-n", "3", "--maxschedchunk", "1")]
)
def test_workers_check_and_the_controller_records(project: Project, options: tuple[str, ...]) -> None:
    project.checks(
        "web/pages.py",
        """
        @check("daily", severity="P3")
        @pytest.mark.parametrize("n", range(7))
        async def test_n(n, measure, limits):
            "N is small."
            assert measure("n", n) < limits.web.response_time
        """,
    )
    serial = project.run()
    spread = project.run(*options)
    assert spread.code == serial.code == 0
    assert spread.outcomes == serial.outcomes
    assert list(serial.outcomes.values()).count("failed") == 5
    assert [m.value for m in spread.results["web/pages::n[4]"].measurements] == [4.0]
    assert len(list(spread.folder.glob("journal*"))) == 1


def test_order_of_the_items_changes_nothing(project: Project) -> None:
    project.write(
        "conftest.py",
        """
        def pytest_collection_modifyitems(items):
            items.reverse()
        """,
    )
    for service in ("database", "web"):
        project.checks(
            f"{service}/availability.py",
            """
            @check("daily", severity="P1")
            async def test_first():
                "First."
                assert False

            @check("daily", severity="P1")
            async def test_second():
                "Second."
                assert False
            """,
        )
    run = project.run()
    assert {name: result.root for name, result in run.results.items()} == {
        "database/availability::first": None,
        "database/availability::second": "database/availability::first",
        "web/availability::first": "database/availability::first",
        "web/availability::second": "database/availability::first",
    }


def test_nothing_is_left_open(project: Project, tmp_path: Path) -> None:
    project.checks("web/pages.py", '@check("daily")\nasync def test_x():\n    "X."\n    assert True\n')
    run = project.run("-W", "error")
    assert run.code == 0, run.output
    assert "Warning" not in run.output


def test_a_name_server_that_is_silent_does_not_hold_up_the_end(project: Project) -> None:
    project.write(
        "conftest.py",
        """
        import socket, time
        socket.getaddrinfo = lambda *_, **__: time.sleep(600)
        """,
    )
    project.checks(
        "web/pages.py",
        """
        @check("daily", timeout=0.3)
        async def test_resolves():
            "The name resolves."
            await asyncio.get_running_loop().getaddrinfo("silent.example", 80)
            assert True
        """,
    )
    run = project.run()
    assert (run.code, run.outcomes) == (1, {"web/pages::resolves": "timed-out"})


@pytest.mark.parametrize("kind", ["async def", "def"])
def test_a_check_that_swallows_its_time_out_has_timed_out(project: Project, kind: str) -> None:
    sleep = "await asyncio.sleep(0.2)" if kind == "async def" else "time.sleep(0.2)"
    project.checks(
        "web/pages.py",
        f"""
        import time

        @check("daily", timeout=0.3)
        {kind} test_retries_whatever_happens():
            "Retries."
            for _ in range(8):
                try:
                    {sleep}
                except BaseException:
                    pass
            assert True
        """,
    )
    assert project.run().outcomes == {"web/pages::retries_whatever_happens": "timed-out"}


def test_a_check_that_exits_or_is_cancelled_harms_no_other(project: Project) -> None:
    project.checks(
        "web/pages.py",
        """
        @check("daily", severity="P3")
        async def test_exits():
            "Exits."
            raise SystemExit(1)
            assert True

        @check("daily", severity="P3")
        async def test_cancels():
            "Cancels."
            raise asyncio.CancelledError
            assert True

        @check("daily")
        async def test_other():
            "Goes on."
            await asyncio.sleep(0.3)
            assert True
        """,
    )
    run = project.run()
    assert run.outcomes == {
        "web/pages::exits": "unmeasured",
        "web/pages::cancels": "unmeasured",
        "web/pages::other": "passed",
    }


def test_what_goes_through_a_fixture_is_set_up_by_pytest(project: Project) -> None:
    project.checks(
        "web/pages.py",
        """
        @pytest.fixture(params=["a", "b"])
        def client(request):
            return {"name": request.param}

        @pytest.fixture
        def limits():
            return "mine"

        @check("daily")
        async def test_parametrised_fixture(client):
            "A fixture with parameters."
            assert client["name"] in "ab"

        @check("daily")
        @pytest.mark.parametrize("client", ["c"], indirect=True)
        async def test_indirect(client):
            "An indirect parameter."
            assert client == {"name": "c"}

        @check("daily")
        async def test_replaced(limits):
            "A project may replace a fixture."
            assert limits == "mine"
        """,
    )
    run = project.run()
    assert (run.code, len(run.outcomes), set(run.outcomes.values())) == (0, 4, {"passed"})


def test_waiting_for_ones_turn_at_a_target_is_not_the_checks_own_time(project: Project) -> None:
    project.settings('[probes.web]\nkind = "http"\nurl = "http://127.0.0.1:9"\nconcurrency = 2\n')
    project.checks(
        "web/pages.py",
        """
        @check("daily", timeout=1)
        @pytest.mark.parametrize("n", range(12))
        async def test_asks(n, web):
            "Asks."
            async def look():
                await asyncio.sleep(0.4)
                return n
            assert await web.observe(f"look {n}", look) == n
        """,
    )
    run = project.run()
    assert run.code == 0, run.output


def test_each_check_has_an_error_of_its_own_from_a_shared_observation(project: Project) -> None:
    project.settings('[probes.web]\nkind = "http"\nurl = "http://127.0.0.1:9"\n')
    project.checks(
        "web/pages.py",
        """
        @check("daily")
        @pytest.mark.parametrize("n", range(20))
        async def test_asks(n, web):
            "Asks the same."
            mine = f"check number {n} of twenty"
            answer = await web.get("/")
            assert answer
        """,
    )
    run = project.run("--showlocals", "--tb=long")
    for n in range(20):
        assert f"check number {n} of twenty" in run.results[f"web/pages::asks[{n}]"].traceback
    lengths = [len(result.traceback) for result in run.results.values()]
    assert max(lengths) < 1.2 * min(lengths)

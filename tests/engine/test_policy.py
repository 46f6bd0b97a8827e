"""Waivers and maintenance windows accept a failure for a time, by name, and never hide that it ran."""

from __future__ import annotations

from datetime import timedelta

from pytest_runbook import clock

from .conftest import Project

FAILING = """
    @check("daily", severity="P1")
    async def test_x():
        "X."
        assert False, "broken"

    @check("daily")
    async def test_y():
        "Y."
        assert True
"""


def waiver(days: float) -> str:
    until = clock.iso(clock.now() + timedelta(days=days))
    return f'[[waivers]]\ncheck = "web/pages::*"\nowner = "ann"\nreason = "OPS-7"\nexpires = "{until}"\n'


def test_a_waived_check_still_runs_and_does_not_gate(project: Project) -> None:
    project.settings(waiver(days=1))
    project.checks("web/pages.py", FAILING)
    run = project.run()
    result = run.results["web/pages::x"]
    assert (run.code, result.outcome, result.message) == (0, "waived", "broken")
    assert result.waiver is not None
    assert (result.waiver.owner, result.waiver.reason) == ("ann", "OPS-7")
    assert run.outcomes["web/pages::y"] == "passed"
    assert "ann" in run.output


def test_an_expired_waiver_fails_again_and_says_so(project: Project) -> None:
    project.settings(waiver(days=-1))
    project.checks("web/pages.py", FAILING)
    run = project.run()
    assert (run.code, run.outcomes["web/pages::x"]) == (1, "failed")
    assert "the waiver of web/pages::x by ann expired on" in run.output


def test_a_maintenance_window_covers_its_services_and_what_they_explain(project: Project) -> None:
    start, end = clock.now() - timedelta(hours=1), clock.now() + timedelta(hours=1)
    project.settings(
        f'[[maintenance]]\nservices = ["database"]\nstart = "{clock.iso(start)}"\nend = "{clock.iso(end)}"\n'
        'owner = "ann"\nreason = "upgrade"\n'
    )
    project.checks("database/availability.py", FAILING)
    project.checks("web/availability.py", FAILING.replace("_y", "_z"))
    project.checks("host/pages.py", '@check("daily", severity="P3")\nasync def test_h():\n    "H."\n    assert False\n')
    run = project.run()
    assert run.outcomes["database/availability::x"] == "waived"
    assert run.outcomes["web/availability::x"] == "waived"
    assert run.outcomes["host/pages::h"] == "failed"
    assert run.code == 0


def test_waivers_hold_on_workers_too(project: Project) -> None:
    project.settings(waiver(days=1))
    project.checks("web/pages.py", FAILING)
    run = project.run("-n", "2")
    assert (run.code, run.outcomes["web/pages::x"]) == (0, "waived")


def test_a_window_covers_what_was_looked_at_within_it_and_not_what_is_reported_then(project: Project) -> None:
    start = clock.now() + timedelta(seconds=10)
    window = f'start = "{clock.iso(start)}"\nend = "{clock.iso(start + timedelta(days=1))}"\n'
    project.settings(f'[[maintenance]]\nservices = ["web"]\nowner = "ann"\nreason = "upgrade"\n{window}')
    project.checks(
        "web/pages.py",
        f"""
        import time
        from pytest_runbook import clock

        @check("daily")
        def test_first():
            "Takes until the window has begun."
            while clock.now() <= clock.parse("{clock.iso(start)}"):
                time.sleep(0.1)
            assert True

        @check("daily", severity="P1")
        async def test_x():
            "Fails before that, and has to wait for its turn."
            assert False, "broken"
        """,
    )
    result = project.run().results["web/pages::x"]
    within = clock.parse(result.attempts[-1].started) >= start  # on a machine that takes so long to begin
    assert result.outcome == ("waived" if within else "failed")

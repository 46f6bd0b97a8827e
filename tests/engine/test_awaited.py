"""A question to a probe that is not awaited asks nothing, and is no answer."""

from __future__ import annotations

import pytest

from tests.engine.conftest import Project


@pytest.mark.parametrize("kind", ["async def", "def"])
def test_a_question_that_is_not_awaited_is_no_answer(project: Project, kind: str) -> None:
    """A coroutine is true, whatever the probe would have said."""
    project.settings('[probes.web]\nkind = "http"\nurl = "http://127.0.0.1:1"\n')
    project.checks(
        "web/pages.py",
        f"""
        @check("daily")
        {kind} test_forgets(web):
            "Forgets to wait."
            assert web.get("/health")
        """,
    )
    run = project.run()
    assert (run.code, run.outcomes["web/pages::forgets"]) == (1, "unmeasured")
    told = '"Http.get" was not awaited, so nobody looked: write "await" before it'
    assert run.results["web/pages::forgets"].message == told


def test_a_question_that_a_failure_left_unasked_is_not_told(project: Project) -> None:
    project.settings('[probes.web]\nkind = "http"\nurl = "http://127.0.0.1:1"\n')
    project.checks(
        "web/pages.py",
        """
        @check("daily")
        async def test_fails(web):
            "Fails between asking and waiting."
            answer = web.get("/health")
            assert not answer, "it is broken"
            await answer
        """,
    )
    run = project.run()
    assert (run.code, run.outcomes["web/pages::fails"]) == (1, "failed"), run.output
    assert run.results["web/pages::fails"].message.startswith("it is broken")
    assert "never awaited" not in run.output

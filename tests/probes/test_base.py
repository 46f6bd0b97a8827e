"""What every probe does: share equal calls within an attempt, bound them, keep each as evidence of who asked."""

from __future__ import annotations

import asyncio

import pytest
from pytest_runbook.errors import Unmeasured, Unreachable
from pytest_runbook.evidence.context import Notebook, writing
from pytest_runbook.probes.base import Probe, ProbeSettings

from tests.probes.sites import run


class Counting(Probe[ProbeSettings]):
    kind = "counting"

    def __init__(self, **settings: float) -> None:
        super().__init__("counting", ProbeSettings.model_validate({"kind": "counting", **settings}))
        self.calls = self.busy = self.busiest = 0

    async def look(self, operation: str = "look", seconds: float = 0.0, *, share: bool = True) -> int:
        async def call() -> int:
            self.calls += 1
            number = self.calls
            self.busy += 1
            self.busiest = max(self.busiest, self.busy)
            await asyncio.sleep(seconds)
            self.busy -= 1
            if operation == "fail":
                raise Unmeasured("cannot see")
            return number

        return await self.observe(operation, call, share=share)


async def check(
    probe: Counting, name: str, *, attempt: int = 1, operation: str = "look", seconds: float = 0.01
) -> Notebook:
    with writing(Notebook(name, attempt)) as notebook:
        await probe.look(operation, seconds)
    return notebook


def test_checks_of_one_attempt_share_an_equal_call() -> None:
    async def work() -> None:
        probe = Counting()
        one, two = await asyncio.gather(check(probe, "one"), check(probe, "two"))
        three = await check(probe, "three", operation="look elsewhere")
        assert probe.calls == 2
        assert [book.observations[0].shared for book in (one, two, three)] == [False, True, False]
        assert [book.observations[0].answer for book in (one, two, three)] == [1, 1, 2]

    asyncio.run(work())


def test_a_second_attempt_looks_again() -> None:
    async def work() -> None:
        probe = Counting()
        await check(probe, "one")
        second = await check(probe, "one", attempt=2)
        assert (second.observations[0].answer, second.observations[0].shared) == (2, False)

    asyncio.run(work())


def test_outside_of_checks_nothing_is_shared() -> None:
    async def work() -> tuple[int, int]:
        probe = Counting()
        return await probe.look(), await probe.look()

    assert asyncio.run(work()) == (1, 2)


def test_a_failed_call_is_evidence_of_every_check_that_asked() -> None:
    async def work() -> None:
        probe = Counting()
        books = [Notebook("one"), Notebook("two")]
        for book in books:
            with writing(book), pytest.raises(Unmeasured, match="cannot see"):
                await probe.look("fail")
        seen = [book.observations[0] for book in books]
        assert probe.calls == 1
        assert [(one.ok, one.error, one.shared) for one in seen] == [
            (False, "Unmeasured: cannot see", False),
            (False, "Unmeasured: cannot see", True),
        ]

    asyncio.run(work())


@pytest.mark.parametrize("share", [True, False])
def test_a_check_stopped_while_it_waits_keeps_what_it_asked(share: bool) -> None:
    notebook = Notebook("slow")

    async def work() -> None:
        probe = Counting()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await probe.look("look", 5, share=share)

    run(work(), notebook)
    [seen] = notebook.observations
    assert (seen.operation, seen.ok, seen.error) == ("look", False, "no answer yet when the check was stopped")
    assert 0.04 < seen.duration < 1


def test_a_stopped_check_does_not_take_the_shared_call_from_others() -> None:
    async def work() -> None:
        probe = Counting()
        patient = asyncio.create_task(check(probe, "patient", seconds=0.2))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await check(probe, "hasty", seconds=0.2)
        assert (await patient).observations[0].ok
        assert probe.calls == 1

    asyncio.run(work())


def test_no_more_calls_at_once_than_the_settings_allow() -> None:
    async def work() -> None:
        probe = Counting(concurrency=3)
        await asyncio.gather(*(check(probe, "one", operation=f"look {number}") for number in range(12)))
        assert (probe.calls, probe.busiest) == (12, 3)

    asyncio.run(work())


def test_limited_says_who_did_not_answer_in_time() -> None:
    async def work() -> None:
        probe = Counting(timeout=0.05)
        with pytest.raises(Unreachable, match=r'"counting" did not answer within 50 ms'):
            await probe.limited(asyncio.sleep(5))
        assert await probe.limited(asyncio.sleep(0, "in time")) == "in time"

    asyncio.run(work())

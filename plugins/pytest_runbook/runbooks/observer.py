"""Looks again at checks that ran before: after something was done, only a fresh observation counts."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

import pytest
from _pytest.runner import runtestprotocol

from pytest_runbook import clock
from pytest_runbook.concurrency.attempts import Confirmation
from pytest_runbook.concurrency.runner import CHECK, Runner
from pytest_runbook.model import Outcome, Result

ONCE = Confirmation(failures=1, of=1, interval=0.0)
"""A look that is itself one of several."""


@dataclass
class Verdict:
    """What came of watching checks for a while."""

    verified: bool
    """All of them passed as often in a row as is asked for."""
    looks: list[list[Result]] = field(default_factory=list)
    """Every look in its order."""

    @property
    def last(self) -> list[Result]:
        """What was seen last."""
        return self.looks[-1] if self.looks else []

    @property
    def failing(self) -> list[Result]:
        """Those that do not pass, as seen last."""
        return [result for result in self.last if result.outcome != Outcome.PASSED]


@dataclass
class Seen:
    """What came of looking at checks several times in a row."""

    times: int
    looks: list[list[Result]] = field(default_factory=list)

    def of(self, check: str) -> list[Result]:
        """What CHECK said, look by look."""
        return [result for look in self.looks for result in look if result.check.id == check]

    def passes(self, check: str) -> bool:
        """Whether CHECK passed every time; what could not be looked at did not."""
        said = self.of(check)
        return len(said) == self.times and said[-1].outcome == Outcome.PASSED

    @property
    def failing(self) -> list[Result]:
        """The last word of each check that was looked at and did not pass."""
        return [result for look in self.looks for result in look if result.outcome != Outcome.PASSED]


class Observer:
    """Runs checks again in this process, through pytest, as the run did."""

    def __init__(self, session: pytest.Session, runner: Runner, confirm: Confirmation) -> None:
        self._session = session
        self._runner = runner
        self._confirm = confirm
        self._found: Mapping[str, pytest.Item] | None = None

    def look(self, checks: Iterable[str], *, times: int = 1, interval: float = 0.0) -> Seen:
        """What the checks of these ids say, seen afresh and each confirmed as in any run, as often as TIMES in a row.

        One that does not pass is not looked at again.
        """
        seen, left = Seen(times), list(checks)
        for number in range(times):
            time.sleep(interval if number else 0.0)
            found = self._observe(left, self._confirm)
            seen.looks.append(found)
            left = [result.check.id for result in found if result.outcome == Outcome.PASSED]
            if not left:
                break
        return seen

    def watch(self, checks: Collection[str], *, passes: int, interval: float, within: float) -> Verdict:
        """Look until all CHECKS passed PASSES times in a row, or WITHIN seconds are over and the last look failed."""
        verdict, in_a_row, begun = Verdict(verified=False), 0, clock.monotonic()
        while True:
            verdict.looks.append(self._observe(list(checks), ONCE))
            # What could not be looked at did not pass.
            passed = bool(checks) and len(verdict.last) == len(checks) and not verdict.failing
            in_a_row = in_a_row + 1 if passed else 0
            if in_a_row >= passes:
                verdict.verified = True
                return verdict
            if not passed and clock.monotonic() - begun >= within:
                return verdict
            time.sleep(interval)

    def _observe(self, checks: list[str], confirm: Confirmation) -> list[Result]:
        items = [self._items[check] for check in checks if check in self._items]
        self._runner.look_again(items, confirm)
        results = [_result(item) for item in items]
        if self._session.shouldstop:  # the check that was interrupted may have swallowed that
            raise self._session.Interrupted(self._session.shouldstop)
        return [result for result in results if result is not None]

    @property
    def _items(self) -> Mapping[str, pytest.Item]:
        """Check id to item; under xdist the controller has none until now, its workers had them."""
        if self._found is None:
            items = self._session.items or _collected(self._session)
            self._found = {item.stash[CHECK].id: item for item in items if CHECK in item.stash}
        return self._found


def _result(item: pytest.Item) -> Result | None:
    """The result of ITEM, run now; of several phases the one that judges worst."""
    reports = runtestprotocol(item, log=False, nextitem=None)
    results = [result for report in reports if (result := getattr(report, "runbook", None)) is not None]
    return next((r for r in results if r.outcome != Outcome.PASSED), results[0] if results else None)


def _collected(session: pytest.Session) -> list[pytest.Item]:
    option = session.config.option
    before = option.markexpr, option.verbose, session.testscollected
    try:
        # Which checks are meant is known by their ids, and the terminal has told of what the workers collected.
        option.markexpr, option.verbose = "", -1
        session.perform_collect()
    finally:
        option.markexpr, option.verbose, session.testscollected = before
    items, session.items = session.items, []
    return items

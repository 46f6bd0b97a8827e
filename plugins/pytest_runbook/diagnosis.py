"""Root causes: which failing check explains which others.

Within a service, a bad check of the subject `availability` explains every other: what does not answer cannot be judged.
Between services, a bad check explains those of the same subject in the services above: a database that is down explains a web
service that is not ready, a slow one a slow one, and neither explains an expired certificate. What a check `needs` beyond
that, it says: a service that is down explains it then. What stands `apart` from its service's availability says that too.

What could not look explains only what could not look either: a failure that was seen is one, whoever else was blind.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pytest_runbook.model import AVAILABILITY, Outcome, Result, Waiver


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of a result once the others were known."""

    result: Result
    outcome: Outcome
    root: str
    waiver: Waiver | None = None


def closure(names: Iterable[str], services: Mapping[str, Sequence[str]]) -> set[str]:
    """NAMES and every service that they depend on, directly or not."""
    found: set[str] = set()
    pending = list(names)
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending += services.get(name, ())
    return found


def diagnose(
    results: Sequence[Result], services: Mapping[str, Sequence[str]], over: Collection[str] = ()
) -> list[Decision]:
    """For each bad result that another one explains: `blocked-by` its root, or waived with it.

    OVER are ids of checks that were bad and pass again: they explain nothing any more.

    SERVICES maps a service to those it depends on. Within one availability file the order is from the most basic check up:
    the first bad one explains the later ones.
    """
    # A window covers what its service takes down with it; a person's waiver covers what it names.
    suspects = [r for r in results if r.bad or (r.waiver and r.waiver.kind == "maintenance")]
    causes = Causes([r for r in suspects if r.check.id not in over], services)
    decisions = []
    for effect in suspects:
        cause = causes.root(effect)
        if cause is effect or effect.outcome == Outcome.WAIVED:
            continue
        if cause.outcome == Outcome.WAIVED:
            decisions.append(Decision(effect, Outcome.WAIVED, cause.check.id, cause.waiver))
        else:
            decisions.append(Decision(effect, Outcome.BLOCKED, cause.check.id))
    return decisions


class Causes:
    """The first bad check of each service and subject, which is all that can explain another."""

    def __init__(self, suspects: Iterable[Result], services: Mapping[str, Sequence[str]]) -> None:
        """SUSPECTS are the bad results in the order of their files."""
        self._services = services
        self._below = {name: closure([name], services) - {name} for name in services}
        self._first: dict[tuple[str, str], Result] = {}
        self._first_seen: dict[tuple[str, str], Result] = {}
        for suspect in suspects:
            place = suspect.check.service, suspect.check.subject
            self._first.setdefault(place, suspect)
            if not _blind(suspect):
                self._first_seen.setdefault(place, suspect)

    def root(self, effect: Result) -> Result:
        """The lowest result that explains EFFECT; EFFECT itself when nothing does."""
        path = [effect]
        while True:
            here = path[-1]
            known = self._first if _blind(here) else self._first_seen
            causes = [one for place in self._places(here) if (one := known.get(place)) and one is not here]
            if not causes:
                return here
            lower = min(causes, key=self._height)
            for place, passed in enumerate(path):
                if passed is lower:  # they explain each other: one of them stands for all
                    return min(path[place:], key=self._height)
            path.append(lower)

    def _height(self, result: Result) -> tuple[int, bool, str]:
        """Sorts the service that depends on least first, then availability before other subjects."""
        check = result.check
        return len(self._below.get(check.service, ())), check.subject != AVAILABILITY, check.id

    def _places(self, effect: Result) -> Iterator[tuple[str, str]]:
        """Services and subjects whose first bad check explains EFFECT."""
        own = effect.check
        if not own.apart:
            yield own.service, AVAILABILITY
        for name in self._below.get(own.service, ()):
            yield name, own.subject
        for name in closure(own.needs, self._services):
            # A check may need a service above its own: that one cannot explain what itself depends on.
            if name != own.service and own.service not in self._below.get(name, ()):
                yield name, AVAILABILITY
                yield name, own.subject


def _blind(result: Result) -> bool:
    """Whether RESULT only could not look; of a blocked one its attempts tell, and one without any could not begin."""
    if result.outcome != Outcome.BLOCKED:
        return result.outcome == Outcome.UNMEASURED
    return not any(tried.outcome in (Outcome.FAILED, Outcome.TIMED_OUT) for tried in result.attempts)

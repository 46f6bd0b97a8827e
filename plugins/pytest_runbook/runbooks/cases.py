"""What is to be mended: the failing checks that nothing else explains, one case for each runbook and service."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from pytest_runbook.diagnosis import closure
from pytest_runbook.model import AVAILABILITY, Outcome, Result, RunRecord


@dataclass
class Case:
    """Checks of one service that failed, that name one runbook, and that no other failure explains."""

    runbook: str
    service: str
    results: list[Result]
    dependants: list[Result] = field(default_factory=list)
    """What they explain, and what of the same runbook could not be looked at: judged again when they pass."""

    @property
    def key(self) -> tuple[str, str]:
        """A run tries a runbook on a service once."""
        return self.runbook, self.service

    @property
    def checks(self) -> tuple[str, ...]:
        """Ids of the checks that failed."""
        return tuple(result.check.id for result in self.results)

    @property
    def unseen(self) -> bool:
        """Whether none of them could look: nothing is mended that was not seen broken."""
        return all(result.outcome == Outcome.UNMEASURED for result in self.results)


def find(record: RunRecord) -> list[Case]:
    """The cases of RECORD, which has been diagnosed, worst first."""
    found: dict[tuple[str, str], Case] = {}
    for head, dependants in record.roots():
        if head.check.runbook is None:
            continue
        key = head.check.runbook, head.check.service
        case = found.setdefault(key, Case(*key, []))
        case.results.append(head)
        case.dependants += dependants
    for case in found.values():
        if not case.unseen:
            case.dependants += [result for result in case.results if result.outcome == Outcome.UNMEASURED]
            case.results = [result for result in case.results if result.outcome != Outcome.UNMEASURED]
    return list(found.values())


def cut_off(record: RunRecord, remote: Callable[[str], bool], most: int) -> str | None:
    """Why the checker itself seems to be cut off, when it does; nothing that it sees is then a reason to act.

    That is so when MOST services that do not depend on each other cannot be reached at once, or when two cannot and no
    probe that looks over the network, as REMOTE tells, got any answer.
    """
    lost = {head.check.service for head, _ in record.roots() if _unreachable(head)}
    answered = any(seen.ok and remote(seen.probe) for result in record.results for seen in result.evidence)
    if len(lost) >= most or (len(lost) >= 2 and not answered):
        return f"the checker seems to be cut off: it reaches none of {', '.join(sorted(lost))}"
    return None


def _unreachable(result: Result) -> bool:
    """Whether the service of RESULT could not be reached, as opposed to answering wrongly."""
    return result.check.subject == AVAILABILITY and any(
        (seen.error or "").startswith("Unreachable") for seen in result.evidence
    )


def spared(record: RunRecord, services: Collection[str], but: Collection[str]) -> list[str]:
    """Ids of the checks of SERVICES that pass, without those in BUT: what a fix must not break."""
    return [
        result.check.id
        for result in record.results
        if result.check.service in services and result.outcome == Outcome.PASSED and result.check.id not in but
    ]


def standing(record: RunRecord, services: Collection[str], but: Collection[str]) -> list[str]:
    """Ids of the passing checks that say whether SERVICES, and those that depend on them, are up; without those in BUT."""
    above = {name for name in record.services if closure([name], record.services) & set(services)}
    available = {result.check.id for result in record.results if result.check.subject == AVAILABILITY}
    return [check for check in spared(record, above | set(services), but) if check in available]


def unlooked(record: RunRecord, service: str) -> set[str]:
    """The services that SERVICE depends on and of which nothing in this run says whether they are up."""
    looked = {result.check.service for result in record.results if result.check.subject == AVAILABILITY}
    return closure([service], record.services) - {service} - looked

"""The lowest failing service is the root; what depends on it is blocked, what does not is not."""

from __future__ import annotations

import pytest
from pytest_runbook.diagnosis import closure, diagnose
from pytest_runbook.model import Attempt, Check, Outcome, Result, Waiver

SERVICES = {"web": ["database", "cache"], "proxy": ["web"], "database": ["host"], "cache": [], "host": []}


def result(id: str, outcome: str = "failed", needs: tuple[str, ...] = (), *, apart: bool = False) -> Result:
    service, rest = id.split("/")
    subject = rest.split("::")[0]
    check = Check(id, id, "P2", service, ("daily",), subject=subject, needs=needs, apart=apart)
    return Result(check, outcome, attempts=[Attempt(outcome, "", "", 0.0)])


def roots(*results: Result) -> dict[str, str]:
    return {d.result.check.id: d.root for d in diagnose(results, SERVICES)}


def test_a_service_that_is_down_explains_that_those_above_it_are_down() -> None:
    found = roots(
        result("proxy/availability::answers"),
        result("web/availability::ready"),
        result("web/performance::p95"),
        result("database/availability::answers"),
    )
    assert found == dict.fromkeys(
        ["proxy/availability::answers", "web/availability::ready", "web/performance::p95"],
        "database/availability::answers",
    )


def test_a_service_that_is_down_does_not_hide_what_it_cannot_have_caused() -> None:
    assert roots(result("proxy/certificate::not_expiring"), result("database/availability::answers")) == {}


def test_a_service_that_is_down_explains_its_own_other_checks() -> None:
    assert roots(result("web/performance::p95"), result("web/availability::health")) == {
        "web/performance::p95": "web/availability::health"
    }


def test_within_availability_the_first_check_explains_the_later() -> None:
    assert roots(result("web/availability::health"), result("web/availability::ready")) == {
        "web/availability::ready": "web/availability::health"
    }


def test_the_same_subject_below_explains_the_one_above_and_no_other() -> None:
    found = roots(
        result("database/performance::query_time"), result("web/performance::p95"), result("web/security::headers")
    )
    assert found == {"web/performance::p95": "database/performance::query_time"}


def test_unrelated_services_are_roots_of_their_own() -> None:
    assert roots(result("cache/availability::answers"), result("database/availability::answers")) == {}


def test_passing_checks_explain_nothing_and_are_not_blocked() -> None:
    assert roots(result("database/availability::answers", "passed"), result("web/availability::health")) == {}
    assert roots(result("database/availability::answers"), result("web/availability::health", "passed")) == {}


def test_needs_add_a_dependency_of_one_check() -> None:
    found = roots(result("cache/availability::answers"), result("host/capacity::room", needs=("cache",)))
    assert found == {"host/capacity::room": "cache/availability::answers"}


def test_a_need_above_the_own_service_does_not_turn_causes_round() -> None:
    found = roots(result("web/availability::health"), result("database/consistency::rows", needs=("web",)))
    assert found == {}


@pytest.mark.parametrize("seen", ["failed", "timed-out", "still-failing"])
def test_what_could_not_look_does_not_explain_a_failure_that_was_seen(seen: str) -> None:
    found = roots(
        result("cache/availability::answers", "unmeasured"),
        result("cache/availability::keeps", "unmeasured"),
        result("web/availability::health", seen),
        result("web/availability::ready", "unmeasured"),
        result("web/performance::p95", seen),
    )
    assert found == {
        "cache/availability::keeps": "cache/availability::answers",
        "web/availability::ready": "cache/availability::answers",
        "web/performance::p95": "web/availability::health",
    }


def test_failure_behind_one_that_could_not_look_explains_what_was_seen() -> None:
    found = roots(
        result("database/availability::answers", "unmeasured"),
        result("database/availability::writes", "failed"),
        result("web/availability::ready", "failed"),
    )
    assert found == {"web/availability::ready": "database/availability::writes"}


def test_what_is_blocked_already_is_judged_by_what_it_saw() -> None:
    seen = [result("database/availability::answers"), result("web/availability::ready"), result("web/size::small")]
    seen[2].attempts[0].outcome = Outcome.UNMEASURED
    for decision in diagnose(seen, SERVICES):
        decision.result.outcome, decision.result.root = decision.outcome, decision.root
    assert seen[1].outcome == seen[2].outcome == Outcome.BLOCKED
    seen[0].outcome = Outcome.UNMEASURED  # as if it were seen for the first time
    assert {d.result.check.id: d.root for d in diagnose(seen, SERVICES)} == {
        "web/size::small": "web/availability::ready"
    }


def test_what_stands_apart_is_not_explained_by_its_own_service() -> None:
    down = result("cache/availability::answers")
    assert roots(down, result("cache/freshness::copy_here", apart=True), result("cache/freshness::copy_there")) == {
        "cache/freshness::copy_there": "cache/availability::answers"
    }


def test_what_a_waived_root_explains_is_waived_with_it() -> None:
    down = result("database/availability::answers", "waived")
    down.waiver = Waiver("maintenance", "ann", "upgrade", "2026-01-01T00:00:00Z")
    (decision,) = diagnose([result("web/availability::health"), down], SERVICES)
    assert (decision.outcome, decision.root, decision.waiver) == (Outcome.WAIVED, down.check.id, down.waiver)


def test_closure_is_transitive_and_survives_cycles() -> None:
    assert closure(["proxy"], SERVICES) == {"proxy", "web", "database", "cache", "host"}
    assert closure(["a"], {"a": ["b"], "b": ["a"]}) == {"a", "b"}

"""Records of runs as the tests of the renderers want them: green, ill, hostile, large; and golden files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_runbook.model import Attempt, Measurement, Outcome, Result, RunRecord, Step, Waiver

from tests.reports.builders import (
    HOSTILE,
    SERVICES,
    STARTED,
    make_record,
    make_result,
    make_step,
    observation,
)
from tests.reports.treated import TREATED


def refused() -> Result:
    """The database is down: the root of most of `ill`."""
    error = "connection refused: 10.0.0.5:5432"
    return make_result(
        "database/availability::answers",
        Outcome.FAILED,
        error,
        title="PostgreSQL answers a query.",
        runbook="database-down",
        attempts=[Attempt(Outcome.FAILED, error, STARTED, 0.01, number) for number in (1, 2)],
        evidence=[
            observation(
                probe="database",
                target="postgresql://10.0.0.5:5432/nightscan",
                operation="SELECT 1",
                ok=False,
                answer=None,
                error=f"Unreachable: {error}",
            )
        ],
        traceback="checks/database/availability.py:12: in test_answers\n"
        "    assert (await database.one('SELECT 1')) == 1\n"
        f"E   pytest_runbook.errors.Unreachable: {error}\n",
        sections=[("Captured log call", "WARNING  pool: could not connect, attempt 1\n")],
    )


def slow() -> Result:
    return make_result(
        "web/performance::p95_response_time",
        Outcome.FAILED,
        "assert 2.31 < 2.0",
        "P2",
        title="95 of 100 visitors wait less than two seconds for the first page.",
        runbook="web-slow",
        measurements=[
            Measurement("web.response_time.p95", 2.31, "s", 2.0, "<", False),
            Measurement("web.response_time.p50", 0.412, "s"),
        ],
        duration=3.61,
    )


def blocked(service: str, name: str, severity: str = "P1") -> Result:
    root = "database/availability::answers"
    message = "PostgreSQL does not answer"
    return make_result(f"{service}/{name}", Outcome.BLOCKED, message, severity, root=root)


def ill() -> RunRecord:
    """Two root causes, blocked ones, unmeasured, waived, remediated, timed out, and a problem of the run itself."""
    waiver = Waiver("waiver", "ops@nightscan.example", "renewal ordered", "2026-12-01T23:59:59Z")
    steps = [
        make_step("Look at the queue", "observe", duration=0.2, output="212 jobs wait"),
        make_step("Restart the worker", "restart", duration=2.4, output="worker: started"),
    ]
    return make_record(
        refused(),
        slow(),
        *(blocked("web", f"pages::page_{n}_is_served") for n in range(1, 6)),
        *(blocked("ml", f"prediction::case_{n}_is_predicted", "P2") for n in range(1, 4)),
        blocked("database", "replication::standby_replays", "P2"),
        make_result(
            "host/gpu::memory",
            Outcome.UNMEASURED,
            "NVML cannot be loaded: no such library",
            "P3",
            unmeasured="P2",
            title="The GPU keeps a tenth of its memory free.",
            runbook=None,
            evidence=[],
            hint="install the driver, or set facts.ml.use_gpu",
        ),
        make_result("ml/performance::latency", Outcome.TIMED_OUT, "no end within 30 s", "P3", duration=30.0),
        make_result(
            "web/certificate::is_valid_for_30_days",
            Outcome.WAIVED,
            "assert 12 > 30",
            "P2",
            waiver=waiver,
            measurements=[Measurement("web.certificate.days_left", 12, "d", 30, ">", False)],
        ),
        make_result(
            "cache/queue::is_short",
            Outcome.REMEDIATED,
            "queue.length 212, limit < 100",
            "P2",
            steps=steps,
            attempts=[
                Attempt(Outcome.FAILED, "queue.length 212, limit < 100", STARTED, 0.01, 1),
                Attempt(Outcome.PASSED, "", STARTED, 0.01, 2),
                Attempt(Outcome.PASSED, "", STARTED, 0.01, 3),
            ],
            measurements=[Measurement("queue.length", 3, "", 100, "<", True)],
        ),
        make_result("storage/backup::newest_is_recent", Outcome.SKIPPED, "no backup is scheduled here", "P1"),
        *(make_result(f"host/capacity::fact_{n}", severity="P2") for n in range(20)),
        problems=['the mail "FAILED P1" was kept for the next run: connection refused: mail.nightscan.example:587'],
        runbooks={
            "database-down": "Bring PostgreSQL back.\n\n1. Look at the log of the server.\n2. Start it.\n",
            "web-slow": "https://runbooks.nightscan.example/web-slow",
        },
        exit_code=1,
    )


def green() -> RunRecord:
    services = [name for name in SERVICES for _ in range(7)]
    return make_record(*(make_result(f"{name}/subject::fact_{n}", severity="P2") for n, name in enumerate(services)))


def hostile() -> RunRecord:
    """Every string is what a broken or evil target could answer."""
    result = make_result(
        "web/evil::" + HOSTILE.replace("\n", ""),
        Outcome.FAILED,
        HOSTILE,
        title=HOSTILE,
        runbook=HOSTILE,
        description=HOSTILE,
        measurements=[Measurement(HOSTILE, float("nan"), HOSTILE, float("inf"), "<", False)],
        evidence=[observation(operation=HOSTILE, answer={HOSTILE: HOSTILE, "worst": float("inf")}, error=HOSTILE)],
        traceback="E   " + HOSTILE,
        sections=[(HOSTILE, HOSTILE)],
        steps=[
            Step(
                HOSTILE,
                HOSTILE,
                HOSTILE,
                "correct",
                "restart",
                "failed",
                HOSTILE,
                STARTED,
                0.1,
                HOSTILE,
                [HOSTILE],
                HOSTILE,
            )
        ],
        remediation=HOSTILE,
        recurred=HOSTILE,
    )
    waiver = Waiver("waiver", HOSTILE, HOSTILE, HOSTILE)
    return make_record(
        result,
        make_result("web/evil::waived", Outcome.WAIVED, HOSTILE, waiver=waiver),
        make_result("web/evil::blocked", Outcome.BLOCKED, HOSTILE, root=result.check.id),
        *(make_result(f"web/evil::{HOSTILE}{n}", Outcome.PASSED, HOSTILE, title=HOSTILE) for n in range(3)),
        system=HOSTILE,
        selection=HOSTILE,
        host=HOSTILE,
        user=HOSTILE,
        versions={HOSTILE: HOSTILE},
        runbooks={HOSTILE: "javascript:alert('seen')" + HOSTILE},
        problems=[HOSTILE],
        exit_code=1,
    )


def large(number: int = 10_000, bad: int = 40) -> RunRecord:
    """NUMBER checks of 1,000 targets, BAD of them failing or blocked."""
    results = []
    for n in range(number):
        service = list(SERVICES)[n % len(SERVICES)]
        value = 0.2 + (n % 97) / 100
        results.append(
            make_result(
                f"{service}/subject_{n % 100}::target_{n % 1000}_fact_{n}",
                title=f"Target {n % 1000} keeps fact {n}.",
                severity=("P1", "P2", "P3")[n % 3],
                measurements=[Measurement(f"{service}.time", value, "s", 2.0, "<", True)],
            )
        )
    for n, result in enumerate(results[:bad]):
        result.outcome, result.message = Outcome.FAILED, "assert 2.31 < 2.0"
        result.measurements = slow().measurements
        result.traceback = refused().traceback * 10
        if n > 3:
            result.outcome, result.root = Outcome.BLOCKED, results[n % 3].check.id
    return make_record(*results, exit_code=1)


def unfinished() -> RunRecord:
    """The run was killed in the middle."""
    return make_record(make_result("web/availability::answers"), finished=None, exit_code=None)


def empty() -> RunRecord:
    return make_record(selection="daily and web", exit_code=5)


def waived_root() -> RunRecord:
    """The root of the blocked checks is accepted: they must not vanish with it."""
    waiver = Waiver("maintenance", "dba", "upgrade", "2026-11-22T20:00:00Z")
    root = make_result("database/availability::answers", Outcome.WAIVED, "connection refused", waiver=waiver)
    return make_record(root, blocked("web", "pages::home_is_served"), exit_code=1)


SCENARIOS: dict[str, Callable[[], RunRecord]] = {
    function.__name__: function for function in (green, ill, hostile, unfinished, empty, waived_root, *TREATED)
}


@pytest.fixture(params=SCENARIOS)
def scenario(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def record(scenario: str) -> RunRecord:
    """The record of each scenario in turn."""
    return SCENARIOS[scenario]()


@pytest.fixture(name="ill")
def _ill() -> RunRecord:
    return ill()


@pytest.fixture(name="green")
def _green() -> RunRecord:
    return green()


@pytest.fixture(name="hostile")
def _hostile() -> RunRecord:
    return hostile()


@pytest.fixture(name="large")
def _large() -> RunRecord:
    return large()


@pytest.fixture
def new_large() -> Callable[[int], RunRecord]:
    return large


@pytest.fixture
def new_result() -> Callable[..., Result]:
    return make_result


@pytest.fixture
def new_record() -> Callable[..., RunRecord]:
    return make_record


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden files anew; look at the difference")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compare a text with the golden file of that name."""

    def compare(name: str, text: str) -> None:
        path = Path(__file__).with_name("golden") / name
        if request.config.getoption("--update-golden", default=False):
            path.write_text(text, encoding="utf-8")
        assert text == path.read_text(encoding="utf-8")

    return compare

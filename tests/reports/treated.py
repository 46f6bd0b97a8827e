"""Records of runs that could mend what failed: remediated, still failing, made worse, only planned, left alone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pytest_runbook import clock
from pytest_runbook.model import Attempt, Measurement, Outcome, RunRecord, Step

from tests.reports.builders import STARTED, make_record, make_result, make_step

DOWN = "connection refused: 10.0.0.5:5432"
ROOT = "database/availability::answers"
RUNBOOKS = {
    "database-down": "Database down: PostgreSQL refuses, does not answer, or does not accept writes.\n\n1. Look.\n",
    "queue-too-long": "Queue too long: jobs come faster than they are done.\n\n1. Look at the worker.\n",
}


def at(seconds: float) -> str:
    """The moment SECONDS after the run began."""
    return clock.iso(clock.parse(STARTED) + timedelta(seconds=seconds))


def looks(*outcomes: tuple[float, str], message: str = DOWN) -> list[Attempt]:
    """Attempts at these seconds with these outcomes."""
    return [
        Attempt(outcome, "" if outcome == Outcome.PASSED else message, at(seconds), 0.02, number)
        for number, (seconds, outcome) in enumerate(outcomes, 1)
    ]


def step(title: str, risk: str, outcome: str = "done", **kwargs: Any) -> Step:
    return make_step(title, risk, outcome, **{"runbook": "database-down", "target": "database", **kwargs})


def ladder() -> list[Step]:
    """Look, need not, fail, and at last mend."""
    return [
        step(
            "Look at the end of the server's log", "observe", started=at(1), duration=0.21, output=f"FATAL:  {DOWN}\n"
        ),
        step(
            "Remove the stale lock file",
            "routine",
            "not-needed",
            why="nothing to do for it: test -e /srv/database/postmaster.pid",
            actions=["rm /srv/database/postmaster.pid"],
        ),
        step(
            "Reload the configuration",
            "routine",
            "failed",
            why="exit status 1",
            started=at(2),
            duration=0.3,
            actions=["pg_ctl reload -D /srv/database"],
            output="pg_ctl: PID file does not exist\nIs server running?\n",
        ),
        step(
            "Start the server",
            "restart",
            started=at(4),
            duration=2.4,
            actions=["service manager: start the service"],
            output="server started\n",
        ),
    ]


def remediated() -> RunRecord:
    """Nothing is bad any more, and still nobody may call it green."""
    steps = ladder()
    passed = [(second, Outcome.PASSED) for second in (12.0, 12.5, 13.0)]
    tried = looks((0, Outcome.FAILED), (0.5, Outcome.FAILED), (3, Outcome.FAILED), *passed)
    fixed = 'remediated: "Start the server" fixed it'
    return make_record(
        *(
            make_result(
                name,
                Outcome.REMEDIATED,
                DOWN,
                severity,
                runbook="database-down",
                attempts=tried,
                steps=steps,
                remediation=fixed,
            )
            for name, severity in ((ROOT, "P1"), ("database/availability::accepts_writes", "P1"))
        ),
        *(
            make_result(
                f"web/pages::page_{n}_is_served",
                Outcome.REMEDIATED,
                "HTTP 503",
                attempts=looks((0, Outcome.FAILED), (14, Outcome.PASSED), message="HTTP 503"),
                remediation="passes again since database-down ran",
            )
            for n in range(1, 6)
        ),
        make_result(
            "cache/queue::is_short",
            Outcome.REMEDIATED,
            "queue.length 212, limit < 100",
            "P2",
            runbook="queue-too-long",
            attempts=looks((0, Outcome.FAILED), (31, Outcome.PASSED), message="queue.length 212, limit < 100"),
            measurements=[Measurement("queue.length", 3, "", 100, "<", True)],
            steps=[
                make_step(
                    "Restart the worker",
                    "restart",
                    started=at(20),
                    duration=1.2,
                    actions=["service manager: restart worker"],
                )
            ],
            remediation='remediated: "Restart the worker" fixed it',
            recurred="queue-too-long fixed it 3 h 5 min ago, and it fails again",
        ),
        *(make_result(f"host/capacity::fact_{n}", severity="P2") for n in range(3)),
        runbooks=RUNBOOKS,
        remediation="apply, up to restart",
        duration=32.0,
    )


def still_failing() -> RunRecord:
    """Every step that was let did not help; one was not let; the checks share their steps."""
    steps = [
        *ladder(),
        step("Run the recovery", "restart", "timed-out", why="no end within 60 s", started=at(20), duration=60.0),
        step(
            "Promote the standby",
            "destructive",
            "refused",
            stage="last-resort",
            why="its risk is destructive, and --max-risk is restart",
            actions=["pg_ctl promote -D /srv/standby"],
        ),
    ]
    tried = looks(*((second, Outcome.FAILED) for second in (0, 0.5, 3, 7, 8, 9, 81, 82)))
    told: dict[str, Any] = {
        "runbook": "database-down",
        "attempts": tried,
        "duration": 0.16,
        "steps": steps,
        "remediation": "still-failing: 3 steps did not help",
    }
    left = "refused: maintenance by dba until 2026-11-22T20:00:00Z: the disk is being replaced"
    return make_record(
        make_result(ROOT, Outcome.STILL_FAILING, DOWN, "P2", recurred="database-down fixed it 2 h ago", **told),
        make_result("database/availability::accepts_writes", Outcome.STILL_FAILING, "read-only", "P2", **told),
        make_result("web/pages::home_is_served", Outcome.BLOCKED, "HTTP 503", root=ROOT),
        make_result("host/disk::has_room", Outcome.FAILED, "host.disk.used 0.93, limit < 0.85", remediation=left),
        make_result(
            "ml/performance::latency",
            Outcome.FAILED,
            "ml.latency 7.1 s, limit < 5 s",
            "P3",
            attempts=looks((0, Outcome.FAILED), (83, Outcome.PASSED), message="ml.latency 7.1 s, limit < 5 s"),
            remediation="not-needed: it passes again by itself: nothing was done",
        ),
        *(make_result(f"host/capacity::fact_{n}", severity="P2") for n in range(3)),
        runbooks=RUNBOOKS,
        remediation="apply, up to restart",
        duration=84.0,
        exit_code=1,
    )


def worse() -> RunRecord:
    """A step broke what had passed; all that was done is taken back, as far as it can be."""
    steps = [
        step("Empty the archive", "routine", started=at(1), duration=0.4, actions=["rm -r /srv/archive/old"]),
        step("Move the data", "restart", started=at(3), duration=8.0, actions=["mv /srv/database /srv/large/database"]),
        step(
            "Move the data",
            "restart",
            stage="undo",
            started=at(14),
            duration=8.0,
            actions=["mv /srv/large/database /srv/database"],
        ),
        step(
            "Empty the archive",
            "routine",
            "failed",
            stage="undo",
            why="exit status 1",
            started=at(23),
            duration=0.1,
            actions=["cp -r /srv/copy /srv/archive/old"],
            output="cp: cannot stat '/srv/copy': no such file or directory\n",
        ),
    ]
    why = f'still-failing: "Move the data" made it worse: {ROOT} failed after it'
    full = "host.disk.used 0.93, limit < 0.85"
    return make_record(
        make_result(
            "database/capacity::disk_has_room",
            Outcome.STILL_FAILING,
            full,
            "P2",
            runbook="disk-full",
            attempts=looks((0, Outcome.FAILED), (2, Outcome.FAILED), (12, Outcome.FAILED), message=full),
            steps=steps,
            remediation=why,
        ),
        make_result(ROOT, Outcome.FAILED, DOWN, runbook="database-down", remediation="it passed before disk-full ran"),
        *(make_result(f"host/capacity::fact_{n}", severity="P2") for n in range(3)),
        remediation="apply, up to restart",
        duration=24.0,
        exit_code=1,
    )


def planned() -> RunRecord:
    """Nothing was done, and it is said exactly what would be."""
    steps = [
        step(
            "Look at the end of the server's log",
            "observe",
            "would-run",
            actions=["tail -n 50 /srv/database/server.log (on host)"],
        ),
        step("Remove the stale lock file", "routine", "not-needed", why="nothing to do for it: test -e postmaster.pid"),
        step(
            "End what sits idle in a transaction",
            "routine",
            "would-run",
            actions=[
                "database: SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle in transaction' "
                "AND now() - state_change > make_interval(secs => %s)  with 600",
                "database: VACUUM ANALYZE",
            ],
        ),
        step(
            "Restart the server",
            "restart",
            "refused",
            stage="last-resort",
            why="its risk is restart, and --max-risk is routine",
            actions=["service manager: restart the service"],
        ),
    ]
    return make_record(
        make_result(
            "database/performance::no_forgotten_transaction",
            Outcome.FAILED,
            "database.idle_in_transaction 914 s, limit < 600 s",
            "P2",
            runbook="database-slow",
            steps=steps,
            remediation="would run",
        ),
        *(make_result(f"host/capacity::fact_{n}", severity="P2") for n in range(3)),
        remediation="plan",
        exit_code=1,
    )


TREATED = (remediated, still_failing, worse, planned)

"""Builds checks, results and records for the tests of the renderers, with what a test does not care about filled in."""

from __future__ import annotations

from typing import Any

from pytest_runbook.model import Attempt, Check, Observation, Outcome, Result, RunRecord, Step

STARTED = "2026-11-22T18:03:05.120Z"
FINISHED = "2026-11-22T18:03:09.320Z"
SERVICES = {
    "web": ["database", "cache", "ml"],
    "ml": ["database", "storage"],
    "database": ["host"],
    "cache": ["host"],
    "storage": [],
    "host": [],
}
HOSTILE = "<script>alert('seen')</script> \x1b[31mred\x1b[0m \x00\x08 \ud800 \u202e ]]> & \" ' {{ 7*7 }} \\x \\N"


def make_check(name: str, severity: str = "P1", **kwargs: Any) -> Check:
    service, _, rest = name.partition("/")
    subject = rest.partition("::")[0]
    title = kwargs.pop("title", f"{service.capitalize()}: {name.rpartition(':')[2].replace('_', ' ')}.")
    return Check(
        id=name,
        title=title,
        severity=severity,
        service=service,
        schedules=kwargs.pop("schedules", ("postdeploy", "daily")),
        subject=subject,
        runbook=kwargs.pop("runbook", f"{service}-unavailable"),
        description=kwargs.pop("description", f"{title}\n\nSeen from outside, through the proxy."),
        location=f"checks/{service}/{subject}.py:12",
        nodeid=f"checks/{service}/{subject}.py::test_{rest.rpartition(':')[2]}",
        **kwargs,
    )


def make_result(
    name: str, outcome: str = Outcome.PASSED, message: str = "", severity: str = "P1", **kwargs: Any
) -> Result:
    check = {key: kwargs.pop(key) for key in ("title", "runbook", "description", "unmeasured") if key in kwargs}
    kwargs.setdefault("attempts", [Attempt(outcome, message, STARTED, 0.12)])
    kwargs.setdefault("evidence", [observation()])
    return Result(
        make_check(name, severity, **check), outcome, message, STARTED, kwargs.pop("duration", 0.12), **kwargs
    )


def make_step(title: str, risk: str, outcome: str = "done", **kwargs: Any) -> Step:
    stage = kwargs.pop("stage", "diagnose" if risk == "observe" else "correct")
    started = {} if outcome in ("refused", "would-run", "not-needed") else {"started": STARTED}
    name = title.lower().replace(" ", "_")
    known = {"runbook": "queue-too-long", "target": "cache", **started, **kwargs}
    return Step(name=name, title=title, stage=stage, risk=risk, outcome=outcome, **known)


def observation(**kwargs: Any) -> Observation:
    values: dict[str, Any] = {
        "probe": "web",
        "target": "https://nightscan.example",
        "operation": "GET /health",
        "started": STARTED,
        "duration": 0.118,
        "ok": True,
        "answer": {"status": 200, "headers": {"content-type": "application/json"}, "body": '{"status": "ok"}'},
    }
    return Observation(**{**values, **kwargs})


def make_record(*results: Result, **kwargs: Any) -> RunRecord:
    values: dict[str, Any] = {
        "id": "20261122T180305Z-4f1c",
        "system": "NightScan",
        "environment": "production",
        "started": STARTED,
        "selection": "daily",
        "host": "ops-1",
        "user": "nightly",
        "versions": {"python": "3.11.7", "pytest": "9.2.0", "pytest-runbook": "0.1.0", "nightscan": "2.4.1"},
        "services": SERVICES,
        "results": list(results),
        "finished": FINISHED,
        "duration": 4.2,
        "exit_code": 0,
    }
    return RunRecord(**{**values, **kwargs})

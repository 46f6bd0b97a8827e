"""The checks are of the system, not of the lab: services started by hand, told by environment and JSON file alone."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg
import pytest
from pytest_runbook.model import Outcome, Result

from lab.ml.train import make_evaluation, make_model
from lab.rounds import run_checks
from tests.faults.running import bad, told
from tests.lab.standins import SCHEMA, VERSION, Home, service
from tests.probes.databases import SECRET, PostgresServer, RedisServer, free_port, server_folder

SERVICES = ("database", "cache", "web", "ml")
CHECKS = f"(predeploy or postdeploy or daily) and ({' or '.join(SERVICES)})"
ABSENT = {
    "cache/consistency::replicas_follow",
    "ml/gpu::gpu_memory",
    "ml/gpu::gpu_temperature",
    "ml/uptime::uptime",
    "web/uptime::uptime",
}
"""Checks of what this system has not, a past among it, and says so: they are skipped."""


@dataclass(frozen=True)
class System:
    """Servers and services, each started for itself."""

    home: Home
    database: PostgresServer
    cache: RedisServer

    @property
    def environment(self) -> dict[str, str]:
        """What the checks are told; address and password of the database stand in the JSON file."""
        return {
            "NIGHTSCAN_ENV": "production",
            "NIGHTSCAN_CONFIG_FILE": self.home.variables["NIGHTSCAN_CONFIG_FILE"],
            "REDIS_URL": self.cache.uri,
            "VERSION": VERSION,
            # A laptop that does other work meanwhile is no cache that is ill.
            "RUNBOOK__LIMITS__CACHE__LATENCY": "1",
            # There was no run before these, in a folder that is there; the repository's own are of other systems.
            "RUNBOOK__PROBES__RUNS__FOLDER": str(self.home.folder / "runs"),
        }


QUIET = ("query_time_p95", "error_rate_of_users", "p95_response_time_of_users", "predictions_succeed")
"""Checks of what users meet."""


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with ExitStack() as stack:
        place = stack.enter_context(server_folder())
        database = PostgresServer(place / "database", {"shared_preload_libraries": "pg_stat_statements"})
        database.create()
        database.start()
        stack.callback(database.stop)
        database.sql("CREATE DATABASE nightscan")
        database.sql("CREATE EXTENSION pg_stat_statements", "nightscan")
        database.sql(SCHEMA.read_text(), "nightscan")
        database.sql("ANALYZE", "nightscan")
        cache = RedisServer(place, "--appendonly", "yes", "--maxmemory", "64mb")
        stack.callback(cache.stop)
        home = furnished(tmp_path_factory.mktemp("home"), database, cache)
        stack.enter_context(service("web", home, home.web))
        stack.enter_context(service("ml", home, home.ml))
        yield System(home, database, cache)


@pytest.fixture(autouse=True)
def forgotten(system: System) -> Iterator[None]:
    """The errors that a test had the services log are no news for the next one."""
    yield
    log = system.home.folder / "logs" / "nightscan.log"
    if log.exists():
        log.write_text("".join(line for line in log.read_text().splitlines(keepends=True) if '"ERROR"' not in line))


def furnished(folder: Path, database: PostgresServer, cache: RedisServer) -> Home:
    """A home with a model and a configuration file as a real system has it."""
    make_model(folder / "models")
    make_evaluation(folder / "data" / "evaluation")
    (folder / "runs").mkdir()
    web, ml = free_port(), free_port()
    access = {"host": "127.0.0.1", "port": database.port, "database": "nightscan", "username": "admin"}
    config = {
        "database": {**access, "password": SECRET, "pool_size": 3, "max_overflow": 2, "sslmode": None},
        "cache": {"host": "127.0.0.1", "port": cache.port, "password": "***masked***"},
        "services": {"web_port": web, "prediction_port": ml},
        "security": {"session_cookie_secure": True, "session_cookie_httponly": True},
        "ml": {
            "models_directory": str(folder / "models"),
            "data_directory": str(folder / "data"),
            "use_gpu": False,
        },
        "logging": {"log_directory": str(folder / "logs"), "log_filename": "nightscan.log"},
    }
    file = folder / "production.json"
    file.write_text(json.dumps(config))
    variables = {
        "NIGHTSCAN_ENV": "production",
        "NIGHTSCAN_CONFIG_FILE": str(file),
        "NIGHTSCAN_DATABASE_URI": database.uri(database="nightscan"),
        "REDIS_URL": cache.uri,
        "SECRET_KEY": "k" * 40,
        "VERSION": VERSION,
        "LAB_DIR": str(folder),
        "LAB_WEB_WORKERS": "4",  # as facts.web.workers has it
    }
    return Home(folder, variables, web, ml)


def test_the_checks_of_a_system_started_by_hand_are_green(system: System, tmp_path: Path) -> None:
    record = run_checks(tmp_path, system.environment, expression=CHECKS)
    assert not bad(record), told(bad(record))
    assert record.exit_code == 0
    assert {r.check.id for r in record.results if r.outcome == Outcome.SKIPPED} == ABSENT
    passed = {r.check.service for r in record.results if r.outcome == Outcome.PASSED}
    assert passed == set(SERVICES)


def test_they_see_what_breaks_there_too(system: System, tmp_path: Path) -> None:
    system.cache.client.config_set("maxmemory-policy", "allkeys-random")
    system.database.sql("ALTER TABLE prediction_archive RENAME TO gone", "nightscan")
    try:
        record = run_checks(tmp_path, system.environment, expression=CHECKS)
    finally:
        system.database.sql("ALTER TABLE gone RENAME TO prediction_archive", "nightscan")
        system.cache.client.config_set("maxmemory-policy", "noeviction")
    failed = {r.check.id for r in bad(record)}
    assert failed == {"cache/capacity::memory_policy", "database/consistency::tables_are_there"}, told(bad(record))
    assert record.exit_code == 1


def of_users(system: System, folder: Path) -> dict[str, Result]:
    """What the checks of what users meet see by themselves: no other check asks anything meanwhile."""
    few = {"RUNBOOK__FACTS__WEB__SAMPLE_REQUESTS": "10"}
    record = run_checks(folder, system.environment | few, "-k", " or ".join(QUIET), expression="daily")
    return {result.check.id.partition("::")[2]: result for result in record.results}


def test_at_night_an_old_fault_is_over_and_the_checks_ask_something_themselves(system: System, tmp_path: Path) -> None:
    for _ in range(20):
        system.database.sql("SELECT pg_sleep(0.2)", "nightscan")
    ill = {"status": {"path": "/login", "code": 500}, "slow": {"path": "/login", "seconds": 2.5}}
    with system.home.fault("web", **ill), ThreadPoolExecutor(10) as users:
        list(users.map(lambda _: httpx.get(f"{system.home.web}/login", timeout=20), range(10)))
    for _ in range(3):
        httpx.post(f"{system.home.ml}/predict/upload", files={"file": ("broken.wav", b"no recording")}, timeout=20)
    seen = of_users(system, tmp_path)
    assert {name: result.outcome for name, result in seen.items()} == dict.fromkeys(QUIET, Outcome.PASSED)
    assert {one.name for result in seen.values() for one in result.measurements} == {
        "database.read_time.p95",
        "web.pages_error_rate",
        "web.users_requests",
        "web.pages_response_time.p95",
        "ml.error_rate",
    }


def test_enough_users_are_judged_by_what_they_met(system: System, tmp_path: Path) -> None:
    over = threading.Event()

    def visit() -> None:
        while not over.is_set():
            httpx.get(f"{system.home.web}/login", timeout=20)

    with ThreadPoolExecutor(1) as users:
        visits = users.submit(visit)
        try:
            few = system.environment | {"RUNBOOK__FACTS__WEB__METRICS__LEAST": "2"}
            record = run_checks(tmp_path, few, "-k", "error_rate_of_users", expression="daily")
        finally:
            over.set()
        visits.result()
    [seen] = record.results
    assert (seen.outcome, [one.name for one in seen.measurements]) == (
        Outcome.PASSED,
        ["web.users_requests", "web.users_error_rate"],
    )


def test_at_night_what_is_ill_now_is_seen(system: System, tmp_path: Path) -> None:
    system.database.sql("ALTER TABLE prediction_archive RENAME TO gone", "nightscan")
    system.database.sql(
        "CREATE VIEW prediction_archive AS SELECT gone.*, pg_sleep(0.2)::text FROM gone RIGHT JOIN generate_series(1, 1) ON true",
        "nightscan",
    )
    ill = {"status": {"path": "/login", "code": 500, "share": 0.5}, "slow": {"path": "/login", "seconds": 2.5}}
    try:
        with (
            system.home.fault("web", **ill),
            system.home.fault("ml", status={"path": "/predict/upload", "code": 500}),
        ):
            seen = of_users(system, tmp_path)
    finally:
        system.database.sql("DROP VIEW prediction_archive; ALTER TABLE gone RENAME TO prediction_archive", "nightscan")
    assert {name: result.outcome for name, result in seen.items()} == {
        "query_time_p95": Outcome.FAILED,
        "error_rate_of_users": Outcome.FAILED,
        "p95_response_time_of_users": Outcome.BLOCKED,
        "predictions_succeed": Outcome.FAILED,
    }
    assert 'a read of "prediction_archive"' in seen["query_time_p95"].message
    assert [one.name for one in seen["p95_response_time_of_users"].measurements] == ["web.pages_response_time.p95"]


def test_at_night_nobody_is_taken_for_well_who_cannot_be_seen(system: System, tmp_path: Path) -> None:
    system.database.sql("DROP EXTENSION pg_stat_statements", "nightscan")
    wrong = {"RUNBOOK__FACTS__WEB__METRICS__ERRORS": 'nightscan_http_requests_total{code="500"}'}
    try:
        record = run_checks(
            tmp_path, system.environment | wrong, "-k", "query_time_p95 or error_rate_of_users", expression="daily"
        )
    finally:
        system.database.sql("CREATE EXTENSION pg_stat_statements", "nightscan")
    assert {result.check.id: result.outcome for result in record.results} == {
        "database/performance::query_time_p95": Outcome.UNMEASURED,
        "web/errors::error_rate_of_users": Outcome.UNMEASURED,
    }
    assert 'no nightscan_http_requests_total with a label "code"' in told(record.results)


def test_pools_that_may_open_more_than_there_is_are_full_when_the_server_is(system: System, tmp_path: Path) -> None:
    told = {"RUNBOOK__FACTS__DATABASE__POOL_SIZE": "1000", "RUNBOOK__LIMITS__DATABASE__CONNECTIONS": "0.2"}
    with ExitStack() as held:
        for _ in range(25):
            session = held.enter_context(psycopg.connect(system.database.uri(database="nightscan")))
            session.execute("SELECT 1")  # and stays in its transaction
        record = run_checks(tmp_path, system.environment | told, "-k", "pool", expression="daily")
    assert {result.check.id: (result.outcome, result.message) for result in record.results} == {
        "database/capacity::pool": (
            Outcome.FAILED,
            "25 of the 97 connections that the application's pools can have are taken",
        ),
        "configuration/consistency::pools_fit_the_database": (
            Outcome.FAILED,
            "4 workers may open 1002 connections each, and the database has 97 for all",
        ),
    }


def test_what_is_not_looked_at_is_not_green(system: System, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    wrong = {
        "RUNBOOK__FACTS__DATABASE__TABLES": "[]",
        "RUNBOOK__FACTS__HOST__DISKS": '["/", "/there/is/no/such/disk"]',
        "RUNBOOK__FACTS__PATHS__LOGS": str(tmp_path / "logs"),
    }
    names = "tables_are_there or inodes or logs_are_rotated"
    record = run_checks(tmp_path / "run", system.environment | wrong, "-k", names, expression="daily")
    assert {result.check.id: (result.outcome, result.message) for result in record.results} == {
        "database/consistency::tables_are_there": (
            Outcome.FAILED,
            "no table is named: facts.database.tables is empty",
        ),
        "host/capacity::inodes": (
            Outcome.UNMEASURED,
            '"local://": no such file or directory "/there/is/no/such/disk"',
        ),
        "host/capacity::logs_are_rotated": (
            Outcome.UNMEASURED,
            f"there is no log in {tmp_path}/logs: facts.paths.logs names another folder",
        ),
    }

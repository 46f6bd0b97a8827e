"""The web stand-in is a web application: it works with its database and cache, suffers with them, and breaks on demand."""

from __future__ import annotations

import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.lab.standins import VERSION, Home, Stack, make_home, service
from tests.probes.databases import until

PATIENCE = 4.0
"""Seconds within which every page answers, whatever is dead behind it; much of it is for a busy machine."""
WAV = b"RIFF....WAVEfmt "
WORKERS = 3
HEADERS = [
    "Strict-Transport-Security",
    "Content-Security-Policy",
    "X-Content-Type-Options",
    "X-Frame-Options",
    "Referrer-Policy",
    "Permissions-Policy",
]


@pytest.fixture(scope="module")
def running(stack: Stack) -> Iterator[Stack]:
    """The application, running."""
    with service("web", stack.home, stack.home.web):
        yield stack


@pytest.fixture
def web(running: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=running.home.web, timeout=15) as client:
        yield client


def form(web: httpx.Client, path: str, **fields: str) -> httpx.Response:
    """Send the form of PATH as a browser does over HTTPS: with its token, and the cookie that httpx keeps for HTTPS."""
    page = web.get(path)
    token = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
    assert token
    cookie = page.headers["Set-Cookie"].partition(";")[0]
    return web.post(path, data={"csrf_token": token[1], **fields}, headers={"Cookie": cookie})


def samples(web: httpx.Client) -> dict[float, dict[str, float]]:
    """Metrics of every worker process, by when it was started: asked until each has answered."""
    found: dict[float, dict[str, float]] = {}
    deadline = time.monotonic() + 15
    while len(found) < WORKERS:
        assert time.monotonic() < deadline, f"{len(found)} workers answered"
        rows = {
            f"{sample.name} {' '.join(sample.labels.values())}".strip(): sample.value
            for family in text_string_to_metric_families(web.get("/metrics").text)
            for sample in family.samples
        }
        found[rows["process_start_time_seconds"]] = rows
    return found


def total(web: httpx.Client, name: str) -> float:
    return sum(rows.get(name, 0) for rows in samples(web).values())


def test_health_names_the_version_that_was_deployed(web: httpx.Client) -> None:
    answer = web.get("/health")
    assert answer.status_code == 200
    assert (answer.json()["status"], answer.json()["version"]) == ("healthy", VERSION)


def test_ready_looks_at_all_that_the_application_needs(web: httpx.Client) -> None:
    answer = web.get("/ready")
    assert answer.json()["checks"] == dict.fromkeys(("database", "disk_space", "memory", "cache"), True)
    assert (answer.status_code, answer.json()["status"]) == (200, "ready")
    assert answer.json()["cache"]["connected"] is True


def test_login_cookie_is_protected(web: httpx.Client) -> None:
    flags = web.get("/login").headers["Set-Cookie"].split("; ")[1:]
    assert set(flags) == {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"}


def test_account_is_made_and_signs_in(web: httpx.Client) -> None:
    account = {"username": "badger", "password": "sett-in-the-wood"}
    assert form(web, "/register", **account).status_code == 302
    assert form(web, "/register", **account).status_code == 409
    answer = form(web, "/login", **account)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/")
    home = web.get("/", headers={"Cookie": answer.headers["Set-Cookie"].partition(";")[0]})
    assert home.status_code == 200


def test_wrong_password_is_refused_and_counted(web: httpx.Client) -> None:
    name = "nightscan_failed_logins_total invalid_credentials"
    before = total(web, name)
    assert form(web, "/login", username="user1", password="wrong").status_code == 401
    assert total(web, name) == before + 1


def test_form_without_its_token_is_refused(web: httpx.Client) -> None:
    answer = web.post("/login", data={"username": "user1", "password": "x"})
    assert (answer.status_code, answer.json()) == (400, {"error": "the form has expired"})


@pytest.mark.parametrize("path", ["/", "/login", "/health", "/api/v1/predictions", "/nowhere"])
def test_every_answer_has_the_security_headers(web: httpx.Client, path: str) -> None:
    assert not [name for name in HEADERS if name not in web.get(path).headers]


def test_latest_predictions_of_a_user_come_first(web: httpx.Client) -> None:
    listed = web.get("/api/v1/predictions", params={"user": 7, "limit": 5}).json()["predictions"]
    assert [row["user_id"] for row in listed] == [7] * 5
    assert listed == sorted(listed, key=lambda row: row["created_at"], reverse=True)


def test_recording_gets_a_row_and_a_place_in_both_queues(web: httpx.Client, running: Stack) -> None:
    running.empty_queues()
    answer = web.post("/api/v1/predictions", files={"file": ("night.wav", WAV)})
    assert answer.status_code == 202
    number = answer.json()["id"]
    row = web.get(f"/api/v1/predictions/{number}").json()
    assert (row["filename"], row["file_size"], row["result"]) == ("night.wav", len(WAV), None)
    queued = running.cache.client.zrange("prediction:queue", 0, -1)
    assert isinstance(queued, list)
    assert [f'"id": {number}' in job for job in queued] == [True]
    assert running.cache.client.llen("celery") == 1
    assert total(web, "nightscan_celery_queue_size") == WORKERS
    running.empty_queues()


@pytest.mark.parametrize(("content", "status"), [(b"<html>", 415), (b"", 415)])
def test_upload_of_something_else_leaves_no_row(web: httpx.Client, running: Stack, content: bytes, status: int) -> None:
    before = running.sql("SELECT max(id) FROM prediction")
    assert web.post("/api/v1/predictions", files={"file": ("night.wav", content)}).status_code == status
    assert running.sql("SELECT max(id) FROM prediction") == before


def test_each_worker_process_answers_with_its_own_counters(web: httpx.Client) -> None:
    name = "nightscan_http_requests_total health GET 200"
    before = total(web, name)
    for _ in range(30):
        web.get("/health")
    counts = [rows.get(name, 0) for rows in samples(web).values()]
    assert sum(counts) == before + 30
    assert max(counts) < before + 30, "one worker counted for all"


def test_metrics_have_the_names_that_operations_know(web: httpx.Client) -> None:
    families = {family.name for family in text_string_to_metric_families(web.get("/metrics").text)}
    assert families >= {
        "nightscan_http_requests",
        "nightscan_http_request_duration_seconds",
        "nightscan_predictions",
        "nightscan_prediction_duration_seconds",
        "nightscan_celery_queue_size",
        "nightscan_database_connections",
        "nightscan_failed_logins",
        "process_start_time_seconds",
        "python_info",
    }


def test_requests_are_in_the_log(web: httpx.Client, running: Stack) -> None:
    web.get("/nowhere-to-be-found")
    *_, record = (record for record in running.home.log() if record.get("path") == "/nowhere-to-be-found")
    assert record["timestamp"].endswith("Z")
    assert (record["level"], record["logger"], record["message"]) == ("INFO", "nightscan.web", "request")
    assert (record["status"], record["method"]) == (404, "GET")


# Faults on purpose


def test_version_can_be_another(web: httpx.Client, running: Stack) -> None:
    with running.home.fault("web", version="0.9.9"):
        assert web.get("/health").json()["version"] == "0.9.9"
    assert web.get("/health").json()["version"] == VERSION


def test_share_of_answers_can_be_errors(web: httpx.Client, running: Stack) -> None:
    with running.home.fault("web", status={"path": "/login", "code": 500, "share": 0.1}):
        seen = Counter(web.get("/login").status_code for _ in range(60))
        assert web.get("/health").status_code == 200
    # Each of the three processes fails its first request, then every tenth.
    assert WORKERS <= seen[500] <= WORKERS + 6
    assert web.get("/login").status_code == 200


def test_answers_can_be_slow(web: httpx.Client, running: Stack) -> None:
    with running.home.fault("web", slow=[{"path": "/login", "seconds": 0.5}, {"path": "/x", "seconds": 60}]):
        assert web.get("/login").elapsed.total_seconds() >= 0.5
    assert web.get("/login").elapsed.total_seconds() < 0.5


def test_answers_can_be_something_else(web: httpx.Client, running: Stack) -> None:
    page = {"path": "/health", "text": "<h1>Welcome to nginx</h1>", "type": "text/html"}
    with running.home.fault("web", body=page):
        answer = web.get("/health")
        assert (answer.status_code, answer.text) == (200, "<h1>Welcome to nginx</h1>")
        assert answer.headers["Content-Type"] == "text/html"
    with running.home.fault("web", body={"path": "/health", "json": {"status": "unhealthy"}}):
        assert web.get("/health").json() == {"status": "unhealthy"}


def test_readiness_can_be_denied(web: httpx.Client, running: Stack) -> None:
    with running.home.fault("web", not_ready=["disk_space"]):
        answer = web.get("/ready")
        assert (answer.status_code, answer.json()["status"]) == (503, "not_ready")
        assert [name for name, good in answer.json()["checks"].items() if not good] == ["disk_space"]


def test_headers_can_be_left_away(web: httpx.Client, running: Stack) -> None:
    with running.home.fault("web", no_security_headers=["X-Frame-Options"]):
        assert [name for name in HEADERS if name not in web.get("/").headers] == ["X-Frame-Options"]
    with running.home.fault("web", no_security_headers=True):
        assert [name for name in HEADERS if name in web.get("/").headers] == []


def test_cookie_can_be_unprotected(web: httpx.Client, running: Stack) -> None:
    with running.home.fault("web", insecure_cookie=True):
        assert web.get("/login").headers["Set-Cookie"].split("; ")[1:] == ["Path=/"]


def test_metrics_can_be_away(web: httpx.Client, running: Stack) -> None:
    with running.home.fault("web", metrics_down=True):
        assert web.get("/metrics").status_code == 503


def test_log_can_be_full_of_errors_or_silent(web: httpx.Client, running: Stack) -> None:
    with running.home.fault("web", log_errors=True):
        web.get("/health")
    assert [record["path"] for record in running.home.log() if record["level"] == "ERROR"][-1:] == ["/health"]
    with running.home.fault("web", log_silent=True):
        before = len(running.home.log())
        web.get("/health")
        assert len(running.home.log()) == before


def test_half_written_fault_is_not_one_yet(web: httpx.Client, running: Stack) -> None:
    path = running.home.folder / "web-faults.json"
    path.write_text('{"version": "0.')
    try:
        assert web.get("/health").json()["version"] == VERSION
    finally:
        path.unlink()


# Real causes


def promptly(web: httpx.Client, path: str) -> httpx.Response:
    answer = web.get(path)
    assert answer.elapsed.total_seconds() < PATIENCE
    return answer


def suffers_without_its_database(web: httpx.Client) -> None:
    for _ in range(WORKERS):
        answer = promptly(web, "/ready")
        assert (answer.status_code, answer.json()["checks"]["database"]) == (503, False)
    assert promptly(web, "/api/v1/predictions").status_code == 503
    assert promptly(web, "/login").status_code == 200
    assert promptly(web, "/health").status_code == 200


def test_stopped_database_makes_it_not_ready_until_it_is_back(web: httpx.Client, running: Stack) -> None:
    running.database.stop()
    try:
        suffers_without_its_database(web)
    finally:
        running.database.start()
    until(lambda: all(web.get("/ready").is_success for _ in range(5)), seconds=10)


def test_silent_database_makes_it_not_ready_but_does_not_hang_it(web: httpx.Client, running: Stack) -> None:
    assert web.get("/ready").is_success, "its connections are open when the server falls silent"
    first = int((running.database.folder / "postmaster.pid").read_text().splitlines()[0])
    family = [psutil.Process(first), *psutil.Process(first).children()]
    for process in family:
        process.send_signal(signal.SIGSTOP)
    try:
        suffers_without_its_database(web)
    finally:
        for process in family:
            process.send_signal(signal.SIGCONT)
    until(lambda: all(web.get("/ready").is_success for _ in range(5)), seconds=10)


def test_silent_cache_makes_it_not_ready_but_pages_still_come(web: httpx.Client, running: Stack) -> None:
    server = psutil.Process(running.cache.client.info("server")["process_id"])
    server.suspend()
    try:
        answer = promptly(web, "/ready")
        assert (answer.status_code, answer.json()["checks"]["cache"]) == (503, False)
        assert promptly(web, "/").status_code == 200
        assert promptly(web, "/metrics").status_code == 200
        assert promptly(web, "/health").status_code == 200
    finally:
        server.resume()
    assert web.get("/ready").is_success


@pytest.fixture
def another(stack: Stack, tmp_path: Path) -> Home:
    """A home of its own, with the same servers."""
    return make_home(tmp_path, **{name: stack.home.variables[name] for name in ("NIGHTSCAN_DATABASE_URI", "REDIS_URL")})


def test_it_ends_promptly_with_a_request_at_work(another: Home) -> None:
    with (
        another.fault("web", slow={"path": "/login", "seconds": 30}),
        service("web", another, another.web),
        pytest.raises(httpx.ReadTimeout),
    ):
        httpx.get(f"{another.web}/login", timeout=0.5)


def test_its_workers_end_when_their_master_is_killed(another: Home) -> None:
    with pytest.raises(AssertionError, match="-9"), service("web", another, another.web) as master:
        until(lambda: len(psutil.Process(master.pid).children()) == WORKERS)
        workers = psutil.Process(master.pid).children()
        master.kill()
        gone, _ = psutil.wait_procs(workers, timeout=5)
    assert len(gone) == WORKERS

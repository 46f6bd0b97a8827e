"""Conditions of the runbooks for web, predictions, proxy, certificate, clock and queues: when a step has something to do."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme
from pytest_runbook.evidence.redaction import Redactor
from pytest_runbook.model import StepOutcome
from pytest_runbook.runbooks.order import Order
from pytest_runbook.runbooks.process import perform
from pytest_runbook.settings import Settings

from tests.managers.supervisord import CONTROL, supervisord
from tests.probes.databases import SECRET, RedisServer, free_port
from tests.remediation.acting import FOLDER, ROOT, Acting, settings, situation

AUTHORITY = trustme.CA()


class Proxy:
    """A server with a certificate, which it reads once."""

    def __init__(self, folder: Path, expires: timedelta) -> None:
        self.file = folder / "nightscan.pem"
        self.write(expires)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.file)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._context = context
        threading.Thread(target=self._serve, daemon=True).start()

    def write(self, expires: timedelta) -> None:
        """Put a new certificate into the file."""
        end = datetime.now(UTC) + expires
        issued = AUTHORITY.issue_cert("localhost", not_before=end - timedelta(days=90), not_after=end)
        self.file.write_bytes(issued.private_key_and_cert_chain_pem.bytes())

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            try:
                self._context.wrap_socket(connection, server_side=True).close()
            except OSError:
                connection.close()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    made = Proxy(tmp_path, timedelta(days=5))
    yield made
    made.close()


def certificate(proxy: Proxy, **overrides: object) -> Acting:
    told = {"probes__proxy__url": f"https://localhost:{proxy.port}", "facts__paths__certificate": proxy.file}
    return Acting("certificate-expiring", settings(**told, **overrides))


def test_a_certificate_that_was_renewed_is_loaded(proxy: Proxy) -> None:
    assert not certificate(proxy).needed("reload"), "it is the one that is served"
    proxy.write(timedelta(days=80))
    book = certificate(proxy, facts__proxy__test='["true"]')
    assert book.needed("reload")
    assert book.needed("restart")
    assert not book.needed("renew")
    proxy.write(timedelta(days=-1))
    assert not certificate(proxy).needed("reload"), "what has ended is no better"
    proxy.write(timedelta(days=4))
    assert not certificate(proxy).needed("reload"), "what is older is no better"
    assert not certificate(proxy).needed("restart")


def test_a_certificate_that_ends_soon_is_renewed_by_the_command_of_the_settings(proxy: Proxy, tmp_path: Path) -> None:
    done = tmp_path / "done"
    told = {
        "facts__proxy__renewal": json.dumps(["touch", f"{done}-renewed"]),
        "facts__proxy__test": json.dumps(["touch", f"{done}-tested"]),
        "facts__proxy__reload": json.dumps(["touch", f"{done}-loaded"]),
    }
    book = certificate(proxy, **told)
    assert book.needed("renew")
    book.do("renew")
    assert sorted(path.name for path in tmp_path.glob("done-*")) == ["done-loaded", "done-renewed", "done-tested"]


def test_a_configuration_that_is_broken_is_not_loaded(proxy: Proxy, tmp_path: Path) -> None:
    told = {"facts__proxy__test": '["false"]', "facts__proxy__reload": json.dumps(["touch", str(tmp_path / "loaded")])}
    assert "status 1" in certificate(proxy, **told).refusal("reload")
    assert not (tmp_path / "loaded").exists()


def test_a_proxy_whose_configuration_is_broken_is_not_restarted(proxy: Proxy) -> None:
    proxy.write(timedelta(days=80))
    broken = '["sh", "-c", "echo key values mismatch >&2; exit 1"]'
    assert "key values mismatch" in certificate(proxy, facts__proxy__test=broken).unseen("restart")
    assert "facts.proxy.test" in certificate(proxy, facts__proxy__test="[]").unseen("restart")
    assert certificate(proxy, facts__proxy__test='["true"]').needed("restart")


def test_without_a_command_a_person_is_told_where_to_name_one(proxy: Proxy) -> None:
    assert "facts.proxy.renewal" in certificate(proxy, facts__proxy__renewal="[]").refusal("renew")
    clock = Acting("clock-skew", settings(facts__host__clock_step="[]"), ["host/consistency::clock_is_right"])
    assert clock.needed("step_clock")
    assert "facts.host.clock_step" in clock.refusal("step_clock")


def test_the_clock_of_another_machine_is_left_to_people() -> None:
    book = Acting("clock-skew", settings(), ["host/consistency::clocks_agree"])
    assert not book.needed("restart_service")
    assert not book.needed("step_clock")


CHRONY = "pool 2.debian.pool.ntp.org iburst\nrtcsync\n"


@pytest.mark.parametrize("line", ["makestep 1 3", "  MakeStep 0.1 -1", "initstepslew 30 ntp.example.org"])
def test_a_time_service_that_would_set_the_clock_is_not_started_unasked(line: str) -> None:
    book = Acting("clock-skew", clock_of(CHRONY + line), ["host/consistency::clock_is_right"])
    assert f'would set the clock at once: its configuration has "{line.strip()}"' in book.unseen("restart_service")
    assert book.needed("step_clock")


def test_a_time_service_that_corrects_slowly_is_started_anew() -> None:
    assert Acting("clock-skew", clock_of(CHRONY), ["host/consistency::clock_is_right"]).needed("restart_service")
    unknown = settings(facts__host__clock_configuration="[]")
    book = Acting("clock-skew", unknown, ["host/consistency::clock_is_right"])
    assert "facts.host.clock_configuration" in book.unseen("restart_service")


def clock_of(configuration: str) -> Settings:
    """The settings of a machine whose time service has this CONFIGURATION."""
    return settings(facts__host__clock_configuration=json.dumps(["printf", configuration]))


def test_web_is_not_restarted_for_what_refuses_its_account(cache: RedisServer) -> None:
    with managed() as told, answering({"checks": {"cache": False, "disk_space": False}}) as url:

        def book(uri: str) -> Acting:
            return Acting("web-unavailable", settings(**told, probes__web__url=url, probes__cache__uri=uri))

        rotated = book(cache.uri.replace(SECRET, "of-yesterday"))
        for step in ("restart", "start_anew"):
            assert "invalid username-password pair" in rotated.unseen(step)
        gone = book(f"redis://127.0.0.1:{free_port()}/0").unseen("restart")
        assert gone == 'it lacks "cache", which does not answer\n  hint: mend that, restarting web does not help'
        assert book(cache.uri).needed("restart"), "the cache takes its account: what broke are web's own connections"


def test_ml_is_not_restarted_for_what_refuses_its_account(cache: RedisServer) -> None:
    with managed("ml") as told, answering({"status": "degraded"}) as url:

        def book(uri: str, ml: str = url) -> Acting:
            return Acting("ml-unresponsive", settings(**told, probes__ml__url=ml, probes__cache__uri=uri))

        rotated = cache.uri.replace(SECRET, "of-yesterday")
        for step in ("restart", "start_anew"):
            assert "invalid username-password pair" in book(rotated).unseen(step)
        gone = book(f"redis://127.0.0.1:{free_port()}/0").unseen("restart")
        assert gone == '"cache", which it needs, does not answer\n  hint: mend that, restarting ml does not help'
        assert book(cache.uri).needed("restart"), "the cache takes its account: what broke is its own"
        assert book(rotated, f"http://127.0.0.1:{free_port()}").needed("restart"), "it does not answer at all"


@contextmanager
def managed(service: str = "web") -> Iterator[dict[str, object]]:
    """Settings of a SERVICE that runs under a supervisord."""
    folder = Path(tempfile.mkdtemp(prefix="runbook-"))
    try:
        with supervisord(folder) as bench:
            bench.manager.start("base", 30)
            yield {
                f"services__{service}__manager": "here",
                f"services__{service}__unit": "base",
                "managers__here__kind": "supervisor",
                "managers__here__command": json.dumps(CONTROL),
                "managers__here__config": folder / "supervisord.conf",
            }
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def answering(said: object) -> Iterator[str]:
    """The address of a service that says SAID, and 503, whatever it is asked."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(503)
            self.end_headers()
            self.wfile.write(json.dumps(said).encode())

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


@pytest.mark.parametrize(
    ("runbook", "step", "check", "needed"),
    [
        ("web-errors", "restart", "web/errors::error_rate", True),
        ("web-errors", "restart", "web/errors::error_rate_of_users", True),
        ("web-errors", "restart", "web/errors::no_new_errors_in_the_log", False),
        ("proxy-unavailable", "reload", "proxy/availability::leads_to_the_web_service", True),
        ("proxy-unavailable", "reload", "proxy/availability::tls_port_answers", False),
    ],
)
def test_what_failed_decides(runbook: str, step: str, check: str, needed: bool) -> None:
    assert Acting(runbook, settings(), [check]).needed(step) is needed


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "audio.npz").write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    told = {"name": "audio", "version": "2", "file": "audio.npz", "sha256": digest}
    (folder / "metadata.json").write_text(json.dumps(told))
    return folder


def test_predictions_are_not_restarted_into_broken_models(models: Path, tmp_path: Path) -> None:
    told = settings(facts__paths__models=models, facts__paths__backups=tmp_path / "backups")
    old = Acting("ml-models-invalid", told, ["ml/models::loaded_models_are_those_on_disk"])
    broken = Acting("ml-models-invalid", told, ["ml/models::models_are_whole"])
    errors = Acting("ml-errors", told)
    assert old.needed("restart")
    assert errors.needed("restart")
    assert not broken.needed("restart"), "it is not what the service has loaded"
    (models / "audio.npz").write_bytes(b"rotten")
    assert not old.needed("restart"), "what runs now would not come back"
    assert not errors.needed("restart")
    assert not broken.needed("repair"), "nobody has a copy"


def test_models_that_were_not_changed_are_not_taken_back_and_nothing_is_restarted(models: Path, tmp_path: Path) -> None:
    told = settings(facts__paths__models=models, facts__paths__backups=tmp_path / "backups")
    Acting("ml-models-invalid", told).undo("go_back")  # there is no compose file here: a restart would fail
    assert (models / "audio.npz").read_bytes() == b"weights"


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[RedisServer]:
    started = RedisServer(tmp_path)
    yield started
    started.stop()


def queues(cache: RedisServer, job: float = 3.0) -> Acting:
    """What to do about long queues whose jobs take at most JOB seconds."""
    return Acting("queue-too-long", settings(probes__cache__uri=cache.uri, limits__queue__job=job))


def test_a_worker_that_works_is_not_restarted(cache: RedisServer) -> None:
    book = queues(cache)
    book.do("lengths")
    cache.client.zadd("prediction:queue", {f"job-{number}": number for number in range(150)})
    timer = threading.Timer(1.0, lambda: cache.client.zpopmin("prediction:queue", 5))
    timer.start()
    assert not book.needed("restart_worker"), "the queue gets shorter"
    timer.join()
    assert book.needed("restart_worker"), "nobody takes from it"
    assert cache.client.zcard("prediction:queue") == 145, "looking takes nothing away"


def test_a_worker_is_given_the_time_that_a_job_takes(cache: RedisServer) -> None:
    cache.client.lpush("celery", *range(150))
    timer = threading.Timer(3.0, lambda: cache.client.rpop("celery"))
    timer.start()
    begun = time.monotonic()
    assert not queues(cache, job=30).needed("restart_worker"), "it is at a long job"
    assert time.monotonic() - begun < 20, "once something was taken nobody waits any longer"
    timer.join()


def test_who_takes_from_the_other_end_works_too(cache: RedisServer) -> None:
    """A sorted set that holds priorities is taken from its upper end, and added to anywhere."""
    cache.client.zadd("prediction:queue", {f"job-{number}": number for number in range(150)})

    def work() -> None:
        with cache.client.pipeline() as pipe:
            pipe.zpopmax("prediction:queue")
            pipe.zadd("prediction:queue", {f"more-{number}": 50 for number in range(20)})
            pipe.execute()

    timer = threading.Timer(1.0, work)
    timer.start()
    assert not queues(cache).needed("restart_worker")
    timer.join()
    timer = threading.Timer(1.0, lambda: cache.client.zadd("prediction:queue", {"first": -1, "last": 999}))
    timer.start()
    assert queues(cache).needed("restart_worker"), "what was added before and behind was taken by nobody"
    timer.join()


@pytest.mark.parametrize("kind", ["list", "zset", "stream"])
def test_a_worker_that_works_while_more_comes_in_is_not_restarted(cache: RedisServer, kind: str) -> None:
    """At full speed in a wave: a restart would cost throughput, and the jobs that were begun."""
    client: Any = cache.client
    name = "celery"
    push: Callable[[int], object] = {
        "list": lambda number: client.lpush(name, f"job-{number}"),
        "zset": lambda number: client.zadd(name, {f"job-{number}": number}),
        "stream": lambda number: client.xadd(name, {"job": number}),
    }[kind]
    take: Callable[[], object] = {
        "list": lambda: client.rpop(name),
        "zset": lambda: client.zpopmin(name),
        "stream": lambda: client.xdel(name, client.xrange(name, count=1)[0][0]),
    }[kind]
    for number in range(150):
        push(number)
    book = queues(cache)
    timer = threading.Timer(1.0, lambda: [take(), *(push(number) for number in range(200, 220))])
    timer.start()
    assert not book.needed("restart_worker")
    timer.join()
    assert book.needed("restart_worker"), "nobody takes from it any more"


def test_a_step_runs_in_a_process_of_its_own_as_in_a_run(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "nightscan.log.7"
    log.parent.mkdir()
    log.write_text("{}\n")
    moment = time.time() - 40 * 86_400
    os.utime(log, (moment, moment))
    at = situation("logs-old", settings(facts__paths__logs=log.parent), ["host/freshness::old_logs_are_gone"])
    shown = tuple(action.describe() for action in Acting("logs-old", at.settings).steps["remove"].actions(at))
    done = perform(Order(FOLDER, "remove", "do", at, shown, ROOT), timeout=60, redactor=Redactor([]))
    assert (done.outcome, done.why) == (StepOutcome.DONE, "")
    assert "1 files removed" in done.output
    assert not log.exists()

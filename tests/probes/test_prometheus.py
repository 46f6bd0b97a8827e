"""The Prometheus probe on a server that speaks the documented API, on ones that do not, and on a real one when there is one."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import pytest
from pytest_runbook.errors import Unmeasured, Unreachable
from pytest_runbook.evidence.context import Notebook
from pytest_runbook.probes._fetch import HttpSettings
from pytest_runbook.probes.prometheus import Alert, Prometheus

from tests.probes.sites import Handler, Site, json_reply, reply, run, serving

T = TypeVar("T")
MOMENT = datetime(2026, 11, 22, 18, 3, 5, 781000, tzinfo=UTC)
RATE = 'sum by (status) (rate(http_requests_total{job="web"}[5m]))'


def vector(*series: tuple[dict[str, str], str]) -> Any:
    return {"resultType": "vector", "result": [{"metric": m, "value": [MOMENT.timestamp(), v]} for m, v in series]}


ANSWERS: dict[str, Any] = {
    RATE: vector(({"status": "200"}, "9.5"), ({"status": "500"}, "0.5")),
    "up": vector(({"job": "web"}, "1")),
    "scalar(up)": {"resultType": "scalar", "result": [MOMENT.timestamp(), "1"]},
    "absent": vector(),
    "0/0": vector(({}, "NaN")),
    "1/0": vector(({}, "+Inf")),
    "up[5m]": {"resultType": "matrix", "result": []},
    "odd": {"resultType": "vector", "result": [{"metric": {}, "value": ["now", 1]}]},
}
ALERTS = [
    {
        "activeAt": "2026-11-22T18:00:00.123456789Z",
        "annotations": {"summary": "web is down"},
        "labels": {"alertname": "ServiceDown", "severity": "critical"},
        "state": "firing",
        "value": "1e+00",
    },
    {"labels": {"alertname": "HighErrorRate"}, "annotations": {}, "state": "pending", "activeAt": "?", "value": "1"},
]


class Api(Site):
    """The two calls of the API that are used, as its documentation shows them."""

    def answer(self, first: str, headers: dict[str, str], body: bytes) -> bytes:
        parts = urlsplit(first.split()[1])
        if parts.path == "/api/v1/alerts":
            return json_reply({"status": "success", "data": {"alerts": ALERTS}})
        if parts.path != "/api/v1/query":
            return reply(404, "404 page not found\n")
        query = parse_qs(parts.query)["query"][0]
        if query not in ANSWERS:
            error = {"errorType": "bad_data", "error": '1:1: parse error: unexpected character: "&"'}
            return json_reply({"status": "error", **error}, 400)
        return json_reply({"status": "success", "data": ANSWERS[query], "warnings": ["careful"]})


def asked(ask: Callable[[Prometheus], Any], server: Handler | None = None, path: str = "") -> Any:
    async def work() -> Any:
        async with serving(server or Api()) as port:
            probe = prometheus(f"http://127.0.0.1:{port}{path}")
            try:
                return await ask(probe)
            finally:
                await probe.close()

    return run(work())


def prometheus(url: str) -> Prometheus:
    return Prometheus("prometheus", HttpSettings(kind="prometheus", url=url, timeout=2))


def test_a_query_gives_series_with_their_labels() -> None:
    points = asked(lambda probe: probe.query(RATE))
    assert [(point.labels, point.value, point.time) for point in points] == [
        ({"status": "200"}, 9.5, MOMENT),
        ({"status": "500"}, 0.5, MOMENT),
    ]
    assert asked(lambda probe: probe.query("absent")) == []


def test_a_value_is_one_number() -> None:
    assert asked(lambda probe: probe.value("up")) == 1
    assert asked(lambda probe: probe.value("scalar(up)")) == 1
    assert asked(lambda probe: probe.value("1/0")) == float("inf")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("absent", "answered 0 series where one number"),
        (RATE, "answered 2 series"),
        ("0/0", "answered NaN where one number"),
    ],
)
def test_what_is_not_one_number_is_unmeasured(query: str, words: str) -> None:
    with pytest.raises(Unmeasured, match=words):
        asked(lambda probe: probe.value(query))


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("&", r'refused query: 1:1: parse error: unexpected character: "&"'),
        ("up[5m]", r"answered a matrix where an instant vector was expected: up\[5m\]"),
        ("odd", "does not answer as Prometheus does"),
    ],
)
def test_a_query_that_gives_no_vector_is_unmeasured(query: str, words: str) -> None:
    with pytest.raises(Unmeasured, match=words):
        asked(lambda probe: probe.query(query))


def test_alerts_are_those_that_fire_unless_asked_otherwise() -> None:
    [firing] = asked(lambda probe: probe.alerts())
    assert firing == Alert(
        name="ServiceDown",
        state="firing",
        labels={"alertname": "ServiceDown", "severity": "critical"},
        annotations={"summary": "web is down"},
        since=datetime(2026, 11, 22, 18, 0, 0, 123456, tzinfo=UTC),
    )
    assert [(one.name, one.since) for one in asked(lambda probe: probe.alerts("pending"))] == [("HighErrorRate", None)]
    assert [one.name for one in asked(lambda probe: probe.alerts(None))] == ["HighErrorRate", "ServiceDown"]


def test_an_api_below_a_path_is_found() -> None:
    class Below(Api):
        def answer(self, first: str, headers: dict[str, str], body: bytes) -> bytes:
            assert "/metrics/api/v1/" in first
            return super().answer(first.replace("/metrics/", "/", 1), headers, body)

    assert asked(lambda probe: probe.value("up"), Below(), "/metrics/") == 1


def test_the_query_and_its_answer_are_evidence() -> None:
    notebook = Notebook("one")

    async def work() -> None:
        async with serving(Api()) as port:
            probe = prometheus(f"http://127.0.0.1:{port}")
            await probe.value("up")
            await probe.alerts("firing")
            await probe.alerts("pending")
            await probe.close()

    run(work(), notebook)
    assert [(seen.operation, seen.shared) for seen in notebook.observations] == [
        ("query up", False),
        ("alerts", False),
        ("alerts", True),
    ]
    assert notebook.observations[0].answer[0]["value"] == 1
    json.dumps([seen.to_json() for seen in notebook.observations])


@pytest.mark.parametrize(
    ("page", "words"),
    [
        (reply(200, "<html>login</html>", {"Content-Type": "text/html"}), "answered 200 with text/html where JSON was"),
        (reply(503, "Service Unavailable"), "answered 503 with no content type where JSON was expected"),
        (json_reply({"status": "healthy"}), "does not answer as Prometheus does"),
        (json_reply([1]), "does not answer as Prometheus does"),
        (json_reply({"status": "success", "data": {"resultType": "vector"}}), "does not answer as Prometheus does"),
        (json_reply({"status": "success", "data": {"alerts": [1]}}), "does not answer as Prometheus does"),
        (json_reply({"status": "error"}, 500), "refused query: 500"),
    ],
)
def test_what_is_not_prometheus_is_unmeasured(page: bytes, words: str) -> None:
    site = Site({"/api/v1/query": page, "/api/v1/alerts": page})
    with pytest.raises(Unmeasured, match=words):
        asked(lambda probe: probe.query("up"), site)
    with pytest.raises(Unmeasured):
        asked(lambda probe: probe.alerts(), site)


def test_a_server_that_is_not_there_is_unreachable_and_none_configured_unmeasured() -> None:
    with pytest.raises(Unreachable, match="refused the connection"):
        run(prometheus("http://127.0.0.1:1").query("up"))
    with pytest.raises(Unmeasured, match=r'probe "prometheus" has no address\n  hint: set probes.prometheus.url'):
        run(prometheus("").alerts())


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A real Prometheus with one rule that fires."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus is not installed")
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{one.getsockname()[1]}"
    rules = tmp_path / "rules.yml"
    rules.write_text("groups:\n- name: g\n  interval: 1s\n  rules:\n  - alert: Always\n    expr: vector(1) > 0\n")
    config = tmp_path / "prometheus.yml"
    config.write_text(f"rule_files: [{rules}]\nscrape_configs: []\n")
    arguments = [f"--config.file={config}", f"--storage.tsdb.path={tmp_path}/data", f"--web.listen-address={address}"]
    process = subprocess.Popen([program, *arguments], stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 20
        while b"Always" not in _page(f"http://{address}/api/v1/alerts"):
            assert time.monotonic() < end, "prometheus did not start"
            time.sleep(0.2)
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(10)


def _page(url: str) -> bytes:
    try:
        return bytes(urllib.request.urlopen(url, timeout=2).read())
    except OSError:
        return b""


def test_a_real_server_answers_as_documented(server: str) -> None:
    async def work() -> None:
        probe = prometheus(server)
        assert await probe.value("1 + 1") == 2
        assert [alert.name for alert in await probe.alerts()] == ["Always"]
        with pytest.raises(Unmeasured, match=r"refused query: .*parse error"):
            await probe.query("sum(")
        await probe.close()

    asyncio.run(work())

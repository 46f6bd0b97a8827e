"""The metrics probe on a real service of several worker processes, each with its own counters."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from pytest_runbook.errors import Unmeasured, Unreachable, UsageError
from pytest_runbook.evidence.context import Notebook
from pytest_runbook.probes._exposition import parse, processes
from pytest_runbook.probes._selector import Selector
from pytest_runbook.probes.metrics import Metrics, MetricsSettings

from tests.probes.sites import Site, reply, run, serving

WORKERS = 3
APP = """
import os
from prometheus_client import Counter, Gauge, Histogram, generate_latest

REQUESTS = Counter("shop_requests_total", "requests", ["status"])
NEVER = Counter("shop_never_total", "nothing counted", ["reason"])
TIMES = Histogram("shop_seconds", "times", buckets=(0.1, 0.5, 1.0))
QUEUE = Gauge("shop_queue", "queue length, the same for all")
BROKEN = Gauge("shop_broken", "not to be had")
QUEUE.set(7)
BROKEN.set(float("nan"))

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path.startswith("/count/"):
        status, seconds = path.split("/")[2:]
        REQUESTS.labels(status).inc()
        TIMES.observe(float(seconds))
    body = generate_latest() if path == "/metrics" else str(os.getpid()).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
"""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture(scope="module", params=["own", "preloaded"])
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """gunicorn with worker processes that load the application themselves, or share what was loaded before the fork."""
    folder = tmp_path_factory.mktemp("service")
    (folder / "shop.py").write_text(textwrap.dedent(APP))
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "shop:app", "--bind", f"127.0.0.1:{port}", "--workers", str(WORKERS)]
    command += ["--log-level", "error", "--no-control-socket", *(["--preload"] if request.param == "preloaded" else [])]
    process = subprocess.Popen(
        command, cwd=folder, env={**os.environ, "PYTHONPATH": str(folder)}, start_new_session=True
    )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(url)
        yield url
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(10)


def wait_for(url: str) -> None:
    seen: set[bytes] = set()
    end = time.monotonic() + 20
    while len(seen) < WORKERS:
        assert time.monotonic() < end, "the service did not start"
        try:
            seen.add(urllib.request.urlopen(url, timeout=2).read())
        except OSError:
            time.sleep(0.1)


def count(url: str, *counted: tuple[int, float], times: int = 1) -> None:
    for status, seconds in counted * times:
        urllib.request.urlopen(f"{url}/count/{status}/{seconds}", timeout=5).read()


def metrics(url: str, **settings: Any) -> Metrics:
    return Metrics(
        "metrics",
        MetricsSettings.model_validate({"kind": "metrics", "url": f"{url}/metrics", "timeout": 5, **settings}),
    )


def test_figures_are_of_all_workers_together(service: str) -> None:
    failed, every = 'shop_requests_total{status=~"5.."}', "shop_requests_total"

    async def values() -> tuple[float, float]:
        probe = metrics(service, workers=WORKERS)
        return await probe.value(failed), await probe.value(every)

    before = run(values())
    count(service, (200, 0.05), (200, 0.2), (200, 0.2), (500, 0.9), times=10)
    after = run(values())
    assert (after[0] - before[0], after[1] - before[1]) == (10, 40)
    assert run(metrics(service).ratio(failed, every)) == after[0] / after[1]
    assert len(run(metrics(service).scrape()).workers) == WORKERS


def test_gauges_and_counters_that_did_not_count_have_values(service: str) -> None:
    assert run(metrics(service).value("shop_queue")) == 7
    assert run(metrics(service).value("shop_queue", over="sum")) == 7 * WORKERS
    assert run(metrics(service).value("shop_never_total")) == 0


def test_a_window_counts_what_happens_within_it(service: str) -> None:
    count(service, (500, 0.9), times=5)

    async def work() -> None:
        probe = metrics(service)

        async def meanwhile() -> None:
            await asyncio.sleep(0.5)
            await asyncio.to_thread(count, service, (200, 0.05), (200, 0.05), times=6)

        figures = await asyncio.gather(
            probe.value("shop_requests_total", seconds=1.5),
            probe.ratio('shop_requests_total{status="500"}', "shop_requests_total", seconds=1.5),
            probe.rate("shop_requests_total", 1.5),
            probe.quantile("shop_seconds", 1.0, seconds=1.5),
            meanwhile(),
        )
        assert figures[:2] == (12, 0)
        assert 12 / 3 < figures[2] <= 12 / 1.5
        assert figures[3] == 0.1

    run(work())


def test_nothing_to_count_is_unmeasured(service: str) -> None:
    async def work() -> None:
        probe = metrics(service)
        with pytest.raises(Unmeasured, match=r'/metrics" has no metric missing_total'):
            await probe.value("missing_total")
        with pytest.raises(Unmeasured, match="has no metric missing_seconds"):
            await probe.quantile("missing_seconds", 0.95)
        with pytest.raises(Unmeasured, match=r"counted nothing of shop_never_total$"):
            await probe.ratio("shop_requests_total", "shop_never_total")
        with pytest.raises(Unmeasured, match=r"counted nothing of shop_requests_total in 0\.\d+ s"):
            await probe.ratio("shop_never_total", "shop_requests_total", seconds=0.05)
        with pytest.raises(Unmeasured, match="counted nothing of shop_broken"):
            await probe.value("shop_broken")
        with pytest.raises(UsageError, match=r"selector 'shop_queue\{' cannot be read"):
            await probe.value("shop_queue{")

    run(work())


def test_fewer_workers_than_there_are_is_unmeasured(service: str) -> None:
    with pytest.raises(Unmeasured, match=f"showed {WORKERS} of 9 workers in 30 answers"):
        run(metrics(service, workers=9).value("shop_queue"))


def test_the_page_is_read_once_for_several_figures_and_each_is_evidence(service: str) -> None:
    notebook = Notebook("one")

    async def work() -> None:
        probe = metrics(service)
        await asyncio.gather(probe.value("shop_queue"), probe.value('shop_requests_total{status="200"}'))

    run(work(), notebook)
    said = {seen.operation: seen.answer for seen in notebook.observations}
    assert said["value of shop_queue"] == 7
    assert said["read 30 times"]["workers"] == WORKERS
    assert len(notebook.observations) == 4
    assert sorted(seen.shared for seen in notebook.observations) == [False, False, False, True]
    json.dumps(said)


def seen(*pages: str) -> list[list[float]]:
    """The values of a, by process, of PAGES answered one after another."""
    snapshots = [parse(text, index, index + 0.5) for index, text in enumerate(pages)]
    return [[one.values["a_total", ()] for one in own] for own in processes(snapshots)]


def test_workers_are_told_apart_by_counters_that_shrink() -> None:
    def both(a: float, b: float) -> str:
        return f"# TYPE a_total counter\na_total {a}\n# TYPE b_total counter\nb_total {b}\n"

    assert seen(both(5, 1), both(1, 5), both(6, 1), both(2, 5)) == [[5, 6], [1, 2]]


def test_workers_are_told_apart_by_order_when_one_is_ahead_in_everything() -> None:
    def one(a: float) -> str:
        return f"# TYPE a_total counter\na_total {a}\n"

    assert sorted(seen(one(50), one(3), one(51), one(4))) == [[3, 4], [50, 51]]


@pytest.mark.parametrize(
    "fixed",
    [
        "# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds {}\n",
        "# TYPE a_created gauge\na_created {}\n",
        '# TYPE b_total counter\nb_total{{pid="{}"}} 1\n',
    ],
    ids=["start time", "created", "pid label"],
)
def test_workers_are_told_apart_by_what_never_changes(fixed: str) -> None:
    pages = [
        f"# TYPE a_total counter\na_total {a}\n" + fixed.format(100 + process)
        for a, process in [(1, 1), (2, 2), (3, 1), (9, 3)]
    ]
    assert sorted(seen(*pages)) == [[1, 3], [2], [9]]


def test_answers_that_overtake_each_other_are_still_of_one_worker() -> None:
    text = "# TYPE a_total counter\na_total {}\n"
    snapshots = [parse(text.format(a), begun, begun + 2) for a, begun in [(2, 0.0), (1, 0.5), (3, 1.0)]]
    assert len(processes(snapshots)) == 1


def test_a_service_that_adds_its_workers_up_itself_is_one() -> None:
    assert seen(*(f"# TYPE a_total counter\na_total {a}\n" for a in (10, 10, 11, 12))) == [[10, 10, 11, 12]]


HISTOGRAM = """# TYPE t histogram
t_bucket{le="0.1",path="/"} 10
t_bucket{le="0.5",path="/"} 30
t_bucket{le="1",path="/"} 30
t_bucket{le="+Inf",path="/"} 40
t_count{path="/"} 40
t_sum{path="/"} 9
# TYPE untouched histogram
untouched_bucket{le="+Inf"} 0
# TYPE odd histogram
odd_bucket{le="wide"} 1
"""


@pytest.mark.parametrize(("q", "expected"), [(0.25, 0.1), (0.125, 0.05), (0.5, 0.3), (0.75, 0.5)])
def test_quantiles_are_as_prometheus_estimates_them(q: float, expected: float) -> None:
    assert quantile("t", q) == pytest.approx(expected)
    assert quantile('t{path="/"}', q) == pytest.approx(expected)
    assert quantile("t", q, {"path": "/"}) == pytest.approx(expected)


def quantile(metric: str, q: float, labels: dict[str, str] | None = None, limit: float | None = None) -> float:
    async def work() -> float:
        async with serving(Site({"/metrics": reply(200, HISTOGRAM)})) as port:
            return await metrics(f"http://127.0.0.1:{port}", requests=1).quantile(metric, q, labels, limit=limit)

    return run(work())


def test_above_the_last_bucket_a_quantile_is_only_known_to_exceed_it() -> None:
    with pytest.raises(Unmeasured, match=r"the 0.9-quantile of t lies above 1, its last bucket"):
        quantile("t", 0.9)
    with pytest.raises(Unmeasured, match="lies above 1"):
        quantile("t", 0.9, limit=2)
    assert quantile("t", 0.9, limit=0.8) == 1


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ('t{path="/x"}', "counted nothing of"),
        ("untouched", "counted nothing of"),
        ("u", "has no metric"),
        ("odd", "has no bound"),
    ],
)
def test_a_histogram_without_observations_is_unmeasured(metric: str, words: str) -> None:
    with pytest.raises(Unmeasured, match=words):
        quantile(metric, 0.5)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            reply(200, "<!doctype html><html>", {"Content-Type": "text/html"}),
            "answered text/html where Prometheus text was",
        ),
        (reply(200, ""), "where Prometheus text was expected"),
        (reply(200, '{"status": "healthy"}'), "where Prometheus text was expected"),
        (reply(200, 'a{b="c'), "where Prometheus text was expected"),
        (reply(503, "busy"), 'answered 503 where metrics were expected: "busy"'),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\na", "closed the connection in the middle"),
    ],
)
def test_what_is_no_metrics_page_is_unmeasured(answer: bytes, words: str) -> None:
    class Once(Site):
        async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)

    async def work() -> None:
        async with serving(Once()) as port:
            await metrics(f"http://127.0.0.1:{port}").scrape()

    with pytest.raises(Unmeasured, match=words):
        run(work())


def test_a_service_that_is_not_there_is_unreachable() -> None:
    port = free_port()
    with pytest.raises(Unreachable, match="refused the connection"):
        run(metrics(f"http://127.0.0.1:{port}").value("a"))
    with pytest.raises(Unmeasured, match="has no address"):
        run(Metrics("metrics", MetricsSettings(kind="metrics")).value("a"))


@pytest.mark.parametrize(
    ("text", "labels", "expected"),
    [
        ("a", {"x": "1"}, True),
        ("b", {"x": "1"}, False),
        ('a{x="1"}', {"x": "1"}, True),
        ('a{x!="1"}', {"x": "1"}, False),
        ('a{x=~"1|2", y=""}', {"x": "2"}, True),
        ('a{x=~"1"}', {"x": "11"}, False),
        ('a{x!~"5.."}', {"x": "503"}, False),
        ('a{y!="z"}', {}, True),
        (r'a{x="say \"hi\", {you}"}', {"x": 'say "hi", {you}'}, True),
        (' a { x = "1" , } ', {"x": "1"}, True),
        (r'a{x=~"\\d+"}', {"x": "42"}, True),
    ],
)
def test_selectors_select_as_in_promql(text: str, labels: dict[str, str], expected: bool) -> None:
    assert Selector.parse(text).matches(("a", tuple(sorted(labels.items())))) is expected


@pytest.mark.parametrize("text", ["", "{}", "a b", "a{x}", 'a{x="1"', 'a{x="1" y="2"}', 'a{x=~"("}', "rate(a[5m])"])
def test_what_is_no_selector_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="cannot be read\n  hint: write name"):
        Selector.parse(text)

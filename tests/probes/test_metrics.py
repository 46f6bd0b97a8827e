"""The metrics probe on a real service of several worker processes, each with its own counters."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pytest_runbook.errors import Idle, Unmeasured, Unreachable, UsageError
from pytest_runbook.evidence.context import Notebook
from pytest_runbook.probes._exposition import apart, parse, processes
from pytest_runbook.probes._selector import Selector
from pytest_runbook.probes.metrics import Metrics, MetricsSettings

from tests.probes.sites import Site, reply, run, serving

WORKERS = 3
APP = """
import os
import time
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
    time.sleep(0.01)  # as if there were more to write: while one worker is busy, the others are met
    body = generate_latest() if path == "/metrics" else str(os.getpid()).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
"""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture(scope="module", params=["", "--preload", "--preload --worker-class gthread --threads 4"])
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """gunicorn with worker processes that load the application themselves, or share what was loaded before the fork."""
    folder = tmp_path_factory.mktemp("service")
    (folder / "shop.py").write_text(textwrap.dedent(APP))
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "shop:app", "--bind", f"127.0.0.1:{port}", "--workers", str(WORKERS)]
    command += ["--log-level", "error", "--no-control-socket", *request.param.split()]
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
    assert run(metrics(service, workers=WORKERS).ratio(failed, every)) == after[0] / after[1]
    assert len(run(metrics(service, workers=WORKERS).scrape()).workers) == WORKERS


def test_workers_are_counted_once_while_the_service_is_busy(service: str) -> None:
    ending = threading.Event()

    def visit() -> None:
        while not ending.is_set():
            count(service, (200, 0.01))

    async def work() -> list[tuple[int, float]]:
        probe = metrics(service, workers=WORKERS)
        seen = [await probe.scrape(requests) for requests in range(31, 36)]
        return [(len(figures.workers), figures.value("shop_requests_total")) for figures in seen]

    with ThreadPoolExecutor(4) as pool:
        visitors = [pool.submit(visit) for _ in range(4)]
        try:
            seen = run(work())
        finally:
            ending.set()
        for visitor in visitors:
            visitor.result()
    assert [workers for workers, _ in seen] == [WORKERS] * 5
    assert [total for _, total in seen] == sorted(total for _, total in seen)
    assert seen[-1][1] <= run(metrics(service, workers=WORKERS).value("shop_requests_total"))


def test_gauges_and_counters_that_did_not_count_have_values(service: str) -> None:
    assert run(metrics(service).value("shop_queue")) == 7
    assert run(metrics(service, workers=WORKERS).value("shop_queue", over="sum")) == 7 * WORKERS
    assert run(metrics(service).value("shop_never_total")) == 0


def test_a_window_counts_what_happens_within_it() -> None:
    numbers = itertools.count(1)

    class Service(Site):
        """Two workers in turn; the second round finds 12 more requests than the first, and one worker more."""

        def answer(self, first: str, headers: dict[str, str], body: bytes) -> bytes:
            number = next(numbers)
            late = number > 20
            worker = number % 3 if late else number % 2
            return reply(
                200,
                PAGE.format(start=worker, ok=100 + 10 * late, failed=2 * late, low=50 + 11 * late, all=50 + 12 * late),
            )

    async def work(ask: Callable[[Metrics], Awaitable[float]]) -> float:
        nonlocal numbers
        numbers = itertools.count(1)
        async with serving(Service()) as port:
            return await ask(metrics(f"http://127.0.0.1:{port}", requests=20))

    assert run(work(lambda probe: probe.value("shop_requests_total", seconds=0.2))) == 24
    assert (
        run(work(lambda probe: probe.ratio('shop_requests_total{status="500"}', "shop_requests_total", seconds=0.2)))
        == 1 / 6
    )
    with pytest.raises(Unmeasured, match='has no shop_requests_total with a label "code", which'):
        run(work(lambda probe: probe.ratio('shop_requests_total{code="500"}', "shop_requests_total", seconds=0.2)))
    assert 24 / 5 < run(work(lambda probe: probe.rate("shop_requests_total", 0.2))) < 24 / 0.2
    assert run(work(lambda probe: probe.quantile("shop_seconds", 11 / 12, seconds=0.2))) == 0.1
    assert run(work(lambda probe: probe.value("shop_queue", seconds=0.2))) == 7


PAGE = """# TYPE shop_requests_total counter
shop_requests_total{{status="200"}} {ok}
shop_requests_total{{status="500"}} {failed}
# TYPE shop_seconds histogram
shop_seconds_bucket{{le="0.1"}} {low}
shop_seconds_bucket{{le="+Inf"}} {all}
# TYPE shop_queue gauge
shop_queue 7
# TYPE process_start_time_seconds gauge
process_start_time_seconds {start}
"""


def test_nothing_to_count_is_unmeasured(service: str) -> None:
    async def work() -> None:
        probe = metrics(service)
        with pytest.raises(Unmeasured, match=r'/metrics" has no metric missing_total'):
            await probe.value("missing_total")
        with pytest.raises(Unmeasured, match="has no metric missing_seconds"):
            await probe.quantile("missing_seconds", 0.95)
        with pytest.raises(Idle, match=r"counted nothing of shop_never_total$"):
            await probe.ratio("shop_requests_total", "shop_never_total")
        with pytest.raises(Idle, match=r"counted nothing of shop_requests_total in \d+\.\d+ s"):
            await probe.ratio("shop_never_total", "shop_requests_total", seconds=0.05)
        with pytest.raises(Unmeasured, match="counted nothing of shop_broken"):
            await probe.value("shop_broken")
        with pytest.raises(UsageError, match=r"selector 'shop_queue\{' cannot be read"):
            await probe.value("shop_queue{")

    run(work())


def test_fewer_workers_than_there_are_is_unmeasured(service: str) -> None:
    with pytest.raises(Unmeasured, match=rf"showed {WORKERS} of 9 workers$"):
        run(metrics(service, workers=9).value("shop_queue"))


def test_the_page_is_read_once_for_several_figures_and_each_is_evidence(service: str) -> None:
    notebook = Notebook("one")

    async def work() -> None:
        probe = metrics(service)
        await asyncio.gather(probe.value("shop_queue"), probe.value('shop_requests_total{status="200"}'))

    run(work(), notebook)
    said = {seen.operation: seen.answer for seen in notebook.observations}
    assert said["value of shop_queue"] == 7
    assert 1 <= said["read 30 times"]["workers"] <= WORKERS
    assert len(notebook.observations) == 4
    assert sorted(seen.shared for seen in notebook.observations) == [False, False, False, True]
    json.dumps(said)


def seen(*pages: str) -> list[list[float]]:
    """The values of a, by process, of PAGES answered one after another."""
    snapshots = [parse(text, index) for index, text in enumerate(pages)]
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


def test_answers_of_one_moment_count_once_for_a_process_however_torn() -> None:
    fixed = "# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds {}\n"
    text = "# TYPE a_total counter\na_total {}\n# TYPE b_total counter\nb_total {}\n"
    torn = [parse(text.format(a, b) + fixed.format(start), 0) for a, b, start in [(1, 2, 7), (2, 1, 7), (0, 0, 8)]]
    assert apart(torn) == [torn[0], torn[2]]
    unnamed = [parse(text.format(a, b), 0) for a, b in [(1, 2), (2, 1)]]
    assert apart(unnamed) == unnamed[:1]


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

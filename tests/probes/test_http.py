"""The HTTP probe on servers that behave: answers, evidence, sharing, uploads, samples, and what it keeps to itself."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from pytest_runbook.errors import Unmeasured
from pytest_runbook.evidence.context import Notebook
from pytest_runbook.probes._fetch import HttpSettings
from pytest_runbook.probes.http import Http, Sample, percentile

from tests.probes.sites import Handler, Site, json_reply, reply, request_of, run, serving


def web(port: int, url: str = "http://127.0.0.1:{}", **settings: Any) -> Http:
    return Http("web", HttpSettings.model_validate({"kind": "http", "url": url.format(port), "timeout": 5, **settings}))


def test_an_answer_has_status_headers_text_and_json() -> None:
    async def work() -> None:
        page = reply(
            200, '{"status": "healthy", "note": "café"}', {"Content-Type": "application/json", "X-Version": "1.2"}
        )
        async with serving(Site({"/health": page})) as port:
            probe = web(port)
            answer = await probe.get("/health")
            await probe.close()
        assert (answer.status_code, answer.headers["x-version"]) == (200, "1.2")
        assert answer.json() == {"status": "healthy", "note": "café"}
        assert "café" in answer.text
        assert answer.url == f"http://127.0.0.1:{port}/health"
        assert 0 < answer.elapsed < 5

    run(work())


def test_evidence_says_what_was_asked_and_what_came() -> None:
    notebook = Notebook("one")

    async def work() -> None:
        async with serving(Site({"/health": json_reply({"status": "healthy"}, 503)})) as port:
            probe = web(port)
            await probe.get("/health", params={"deep": 1})
            await probe.close()

    run(work(), notebook)
    [seen] = notebook.observations
    assert (seen.probe, seen.operation, seen.ok) == ("web", "GET /health?deep=1", True)
    assert (seen.answer["status"], seen.answer["body"]) == (503, '{"status": "healthy"}')
    json.dumps(seen.answer)


def test_equal_gets_are_one_request_and_posts_are_not() -> None:
    async def work() -> None:
        site = Site({"/": reply(200, "hello")})
        async with serving(site) as port:
            probe = web(port)
            await asyncio.gather(probe.get("/"), probe.get("/"), probe.get("/", headers={"Accept-Language": "fr"}))
            await asyncio.gather(probe.post("/", json={"a": 1}), probe.post("/", json={"a": 1}))
            await probe.close()
        assert sorted(first.split()[0] for first, _, _ in site.requests) == ["GET", "GET", "POST", "POST"]
        assert site.requests[-1][2] == b'{"a":1}'

    run(work())


def test_a_redirect_is_an_answer_unless_it_is_to_be_followed() -> None:
    async def work() -> None:
        async with serving(
            Site({"/": reply(301, "", {"Location": "/login"}), "/login": reply(200, "sign in")})
        ) as port:
            probe = web(port)
            stay, go = await probe.get("/"), await probe.get("/", follow=True)
            await probe.close()
        assert (stay.status_code, stay.headers["location"]) == (301, "/login")
        assert (go.status_code, go.text, go.redirects, go.url) == (200, "sign in", 1, f"http://127.0.0.1:{port}/login")

    run(work())


def test_a_base_address_with_a_path_is_kept() -> None:
    async def work() -> None:
        async with serving(Site({"/api/v1/health": reply(200, "fine")})) as port:
            probe = web(port, "http://127.0.0.1:{}/api/v1/")
            assert (await probe.get("/health")).text == "fine"
            await probe.close()

    run(work())


def test_compressed_answers_are_unpacked() -> None:
    async def work() -> None:
        page = reply(200, gzip.compress(b"x" * 5000), {"Content-Encoding": "gzip"})
        async with serving(Site({"/": page})) as port:
            probe = web(port)
            assert (await probe.get("/")).content == b"x" * 5000
            await probe.close()

    run(work())


def test_an_upload_is_a_multipart_form(tmp_path: Path) -> None:
    recording = tmp_path / "owl.wav"
    recording.write_bytes(b"RIFF....WAVE")

    async def work() -> None:
        site = Site({"/predict/upload": json_reply({"success": True})})
        async with serving(site) as port:
            probe = web(port)
            assert (await probe.upload("/predict/upload", recording, data={"place": "forest"})).json() == {
                "success": True
            }
            await probe.upload("/predict/upload", b"raw", filename="raw.wav", field="audio", content_type="audio/wav")
            await probe.close()
        (_, headers, body), (_, _, second) = site.requests
        assert headers["content-type"].startswith("multipart/form-data; boundary=")
        assert b'name="file"; filename="owl.wav"' in body
        assert b"RIFF....WAVE" in body
        assert b'name="place"\r\n\r\nforest' in body
        assert b'name="audio"; filename="raw.wav"\r\nContent-Type: audio/wav\r\n\r\nraw' in second

    run(work())


def test_uploads_are_made_one_after_another_and_nothing_else_waits_for_them() -> None:
    """Of ten recordings at once each would take as long as all, and users would wait behind them."""

    async def work() -> None:
        site = Site({"/health": reply(), "/predict/upload": reply()}, delay=0.2)
        async with serving(site) as port:
            probe = web(port)
            sent = [asyncio.create_task(probe.upload("/predict/upload", b"wave")) for _ in range(4)]
            assert (await probe.get("/health")).status_code == 200
            assert not all(upload.done() for upload in sent)
            await asyncio.gather(*sent)
            await probe.close()
        assert (len(site.requests), site.busiest) == (5, 2)  # an upload, and the question beside it

    run(work())


def test_an_upload_of_a_missing_file_is_unmeasured(tmp_path: Path) -> None:
    with pytest.raises(Unmeasured, match=r'file ".*/gone.wav" cannot be read: no such file'):
        run(web(1).upload("/", tmp_path / "gone.wav"))


def test_cookies_of_one_call_are_not_sent_with_the_next() -> None:
    async def work() -> None:
        site = Site({"/": reply(200, "", {"Set-Cookie": "session=1; Path=/"})})
        async with serving(site) as port:
            probe = web(port)
            first = await probe.get("/")
            await probe.get("/?again")
            await probe.close()
        assert first.headers.get_list("set-cookie") == ["session=1; Path=/"]
        assert all("cookie" not in headers for _, headers, _ in site.requests)

    run(work())


def test_no_secret_reaches_evidence() -> None:
    notebook = Notebook("one")

    async def work() -> str:
        site = Site({"/": reply(302, "", {"Location": "http://u:canary-four@other/?sig=canary-five"})})
        async with serving(site) as port:
            probe = web(port, "http://admin:canary-one@127.0.0.1:{}", headers={"X-Api-Key": "canary-two"})
            await probe.get("/?token=canary-three", headers={"Authorization": "Bearer canary-six"})
            target = probe.target
            await probe.close()
        assert site.requests[0][0] == "GET /?token=canary-three HTTP/1.1"
        assert site.requests[0][1]["x-api-key"] == "canary-two"
        return target

    assert run(work(), notebook).startswith("http://127.0.0.1:")
    said = json.dumps(notebook.observations[0].to_json())
    assert "canary" not in said
    assert "GET /?token=**** with Authorization" in said


def test_configured_headers_do_not_follow_to_another_origin() -> None:
    async def work() -> None:
        other = Site({"/": reply(200, "elsewhere")})
        async with serving(other) as far:
            here = Site({"/": reply(302, "", {"Location": f"http://127.0.0.1:{far}/"})})
            async with serving(here) as port:
                probe = web(port, headers={"X-Api-Key": "canary"})
                answer = await probe.get("/", follow=True, headers={"X-Mine": "canary"})
                await probe.get(f"http://127.0.0.1:{far}/")
                await probe.close()
        assert answer.text == "elsewhere"
        assert here.requests[0][1]["x-api-key"] == "canary"
        assert "canary" not in str(other.requests)

    run(work())


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    async def work() -> None:
        async with serving(Site({"/": reply(200, "direct")})) as port:
            probe = web(port)
            assert (await probe.get("/")).text == "direct"
            await probe.close()

    run(work())


def test_a_sample_counts_errors_and_takes_percentiles() -> None:
    numbers = itertools.count()

    class Flaky(Site):
        def answer(self, first: str, headers: dict[str, str], body: bytes) -> bytes:
            number = next(numbers)
            return reply(500 if number % 5 == 0 else 404 if number % 5 == 1 else 200)

    async def work() -> None:
        site = Flaky(delay=0.01)
        async with serving(site) as port:
            probe = web(port)
            sample = await probe.sample("/", requests=20, concurrency=4)
            await probe.close()
        assert (sample.n, sample.errors, sample.error_rate) == (20, 8, 0.4)
        assert sample.statuses == {200: 12, 404: 4, 500: 4}
        assert 0.01 <= sample.p50 <= sample.p95 <= sample.p99 <= sample.max < 1
        assert (len(sample.durations), site.busiest) == (12, 4)
        assert site.connections <= 8

    run(work())


def test_a_sample_of_another_status_than_expected_is_errors_and_says_nothing_of_times() -> None:
    async def work(expect: int) -> Sample:
        async with serving(Site({"/": reply(302, headers={"Location": "/login"})})) as port:
            probe = web(port)
            try:
                return await probe.sample("/", requests=5, expect=expect)
            finally:
                await probe.close()

    notebook = Notebook("tests/probe")
    moved = run(work(200), notebook)
    assert (moved.error_rate, moved.durations) == (1.0, ())
    assert notebook.observations[0].answer["statuses"] == {302: 5}
    with pytest.raises(Unmeasured, match=r"none of 5 requests was answered as expected: \{302: 5\}"):
        _ = moved.p95
    assert run(work(302)).p95 > 0


def test_a_sample_that_is_told_to_ask_for_less_is_unmeasured_and_ends() -> None:
    numbers = itertools.count()

    class Limiting(Site):
        def answer(self, first: str, headers: dict[str, str], body: bytes) -> bytes:
            return reply(200 if next(numbers) < 3 else 429)

    async def work(site: Site) -> None:
        async with serving(site) as port:
            probe = web(port)
            try:
                await probe.sample("/", requests=50, concurrency=2)
            finally:
                await probe.close()

    site = Limiting()
    with pytest.raises(
        Unmeasured, match=r'/" limits how often it may be asked: of \d requests it answered \d with 429'
    ):
        run(work(site))
    assert 4 <= len(site.requests) <= 5


def test_a_sample_counts_requests_that_get_no_answer_as_errors() -> None:
    async def work() -> None:
        sample = await sampled(cut_every_third, requests=9, concurrency=1)
        assert (sample.n, sample.errors, len(sample.durations)) == (9, 3, 6)
        [(said, number)] = sample.exceptions.items()
        assert (said.partition('" ')[2], number) == ("closed the connection without an answer", 3)

    run(work())


def test_a_request_that_times_out_counts_with_the_time_it_took() -> None:
    async def work() -> None:
        sample = await sampled(hang_every_third, requests=6, concurrency=1, seconds=0.2)
        assert (sample.errors, len(sample.durations)) == (2, 6)
        assert sample.p50 < 0.2 <= sample.p95

    run(work())


served = {"number": 0}


async def sampled(handler: Handler, requests: int, concurrency: int, seconds: float = 5) -> Sample:
    served["number"] = 0
    async with serving(handler) as port:
        probe = web(port, timeout=seconds)
        sample = await probe.sample("/", requests, concurrency)
        await probe.close()
        return sample


async def cut_every_third(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await request_of(reader)
    served["number"] += 1
    if served["number"] % 3:
        writer.write(reply(200, "ok", {"Connection": "close"}))


async def hang_every_third(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await cut_every_third(reader, writer)
    await asyncio.sleep(0 if served["number"] % 3 else 5)


@pytest.mark.parametrize(
    ("percent", "expected"),
    [(50, 10), (95, 19), (99, 20), (100, 20), (1, 1), (7, 2)],
)
def test_percentiles_are_by_nearest_rank(percent: int, expected: float) -> None:
    assert percentile([float(number) for number in range(1, 21)], percent) == expected


def test_no_more_requests_at_once_than_the_settings_allow() -> None:
    async def work() -> None:
        site = Site({"/": reply()}, delay=0.02)
        async with serving(site) as port:
            probe = web(port, concurrency=3)
            await asyncio.gather(probe.sample("/", 12, 6), *(probe.get(f"/{number}") for number in range(8)))
            await probe.close()
        assert site.busiest == 3

    run(work())


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://host", "http://", "http://host:99999"])
def test_an_address_that_is_not_one_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="url"):
        web(0, url)


def test_without_an_address_nothing_is_measured() -> None:
    with pytest.raises(Unmeasured, match=r'probe "web" has no address\n  hint: set probes.web.url'):
        run(web(0, "").get("/"))

"""The S3 probe on a real server (SeaweedFS), and on servers that are none."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from pydantic import ValidationError
from pytest_runbook.errors import Unmeasured, Unreachable
from pytest_runbook.evidence.context import Notebook
from pytest_runbook.probes._s3 import S3Settings
from pytest_runbook.probes.s3 import S3, Bucket

from lab.servers.s3 import BUCKET, REGION, Storage
from lab.site import Site as LabSite
from lab.site import choose_ports
from lab.waiting import NotReady
from tests.probes.sites import Handler, Site, reply, request_of, run, serving

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True)
class Running:
    url: str
    access_key: str
    secret_key: str
    client: S3Client

    def probe(self, **settings: Any) -> S3:
        given = {
            "kind": "s3",
            "bucket": BUCKET,
            "endpoint_url": self.url,
            "region": REGION,
            "access_key": self.access_key,
            "secret_key": self.secret_key,
            "timeout": 10,
            **settings,
        }
        return S3("storage", S3Settings.model_validate(given))


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The lab's S3 server, alone."""
    site = LabSite(tmp_path_factory.mktemp("storage"))
    with choose_ports(Storage.ports, {}) as ports:
        site.create(ports)
        site.make_runtime()
        server = Storage(site)
        server.prepare()
        spec = server.process()
        process = subprocess.Popen(
            spec.command,
            cwd=spec.directory,
            env={**os.environ, **spec.environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    try:
        wait_for(server)
        url = f"http://127.0.0.1:{site.port('storage')}"
        client = boto3.client(
            "s3",
            endpoint_url=url,
            region_name=REGION,
            aws_access_key_id=server.access_key,
            aws_secret_access_key=site.secret("storage"),
        )
        yield Running(url, server.access_key, site.secret("storage"), client)
        client.close()
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)
        server.clean()
        shutil.rmtree(site.runtime, ignore_errors=True)


def wait_for(server: Storage) -> None:
    end = time.monotonic() + 30
    while True:
        try:
            return server.ready()
        except (NotReady, OSError):
            assert time.monotonic() < end, "the S3 server did not start"
            time.sleep(0.1)


def asked(probe: S3, ask: Callable[[S3], Any], notebook: Notebook | None = None) -> Any:
    async def work() -> Any:
        try:
            return await ask(probe)
        finally:
            await probe.close()

    return run(work(), notebook)


def test_objects_are_listed_and_the_newest_found(storage: Running) -> None:
    for number in (1, 3, 2):
        storage.client.put_object(Bucket=BUCKET, Key=f"list/{number}.dump", Body=b"x" * number)
        time.sleep(1.01 if number != 2 else 0)  # listings show whole seconds
    objects = asked(storage.probe(), lambda probe: probe.objects("list/"))
    assert [(one.key, one.size) for one in objects] == [("list/1.dump", 1), ("list/2.dump", 2), ("list/3.dump", 3)]
    newest = asked(storage.probe(), lambda probe: probe.newest("list/"))
    assert newest.key == "list/2.dump"
    assert abs((datetime.now(UTC) - newest.modified).total_seconds()) < 10
    assert asked(storage.probe(), lambda probe: probe.newest("nothing/")) is None
    assert asked(storage.probe(), lambda probe: probe.objects("nothing/")) == []


def test_long_listings_are_read_to_the_end_or_refused(storage: Running) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = [f"many/{number:04}" for number in range(1010)]
        list(pool.map(lambda key: storage.client.put_object(Bucket=BUCKET, Key=key, Body=b""), keys))
    objects = asked(storage.probe(), lambda probe: probe.objects("many/"))
    assert len(objects) == 1010
    with pytest.raises(Unmeasured, match='more than 1000 objects begin with "many/"\n  hint: ask for a longer prefix'):
        asked(storage.probe(max_objects=1000), lambda probe: probe.newest("many/"))


def test_an_object_is_described_read_and_its_checksum_computed(storage: Running) -> None:
    content = os.urandom(3_000_000)
    storage.client.put_object(
        Bucket=BUCKET, Key="one.dump", Body=content, Metadata={"sha256": "given"}, ChecksumAlgorithm="SHA256"
    )
    head = asked(storage.probe(), lambda probe: probe.head("one.dump"))
    assert (head.size, head.metadata) == (3_000_000, {"sha256": "given"})
    assert asked(storage.probe(), lambda probe: probe.read("one.dump", 5_000_000)) == content
    assert asked(storage.probe(), lambda probe: probe.checksum("one.dump")) == hashlib.sha256(content).hexdigest()
    assert asked(storage.probe(), lambda probe: probe.checksum("one.dump", "md5")) == hashlib.md5(content).hexdigest()
    for read in (lambda probe: probe.read("one.dump"), lambda probe: probe.checksum("one.dump", max_bytes=10)):
        with pytest.raises(Unmeasured, match=r'object "one.dump" has more than \d+ bytes'):
            asked(storage.probe(), read)


def test_an_object_that_is_not_there_is_none_to_describe_and_unmeasured_to_read(storage: Running) -> None:
    assert asked(storage.probe(), lambda probe: probe.head("gone")) is None
    with pytest.raises(Unmeasured, match='no object "gone"'):
        asked(storage.probe(), lambda probe: probe.read("gone"))


def test_properties_of_the_bucket_are_read(storage: Running) -> None:
    assert asked(storage.probe(), lambda probe: probe.bucket()) == Bucket(BUCKET, versioning=False, object_lock=False)
    storage.client.create_bucket(Bucket="locked", ObjectLockEnabledForBucket=True)
    assert asked(storage.probe(bucket="locked"), lambda probe: probe.bucket()) == Bucket("locked", True, True)


@pytest.mark.parametrize(
    "ask", [S3.bucket, S3.objects, S3.newest, lambda probe: probe.head("x"), lambda probe: probe.read("x")]
)
def test_a_missing_bucket_and_refused_credentials_are_unmeasured(storage: Running, ask: Callable[[S3], Any]) -> None:
    with pytest.raises(Unmeasured, match=f'no bucket "{storage.url}/missing"') as missing:
        asked(storage.probe(bucket="missing"), ask)
    for wrong in ({"secret_key": "canary-wrong"}, {"access_key": "AKIACANARY"}):
        with pytest.raises(Unmeasured, match=f'"{storage.url}/{BUCKET}" refuses access: ') as refused:
            asked(storage.probe(**wrong), ask)
        assert "canary" not in str(refused.value).lower()
        assert not isinstance(refused.value, Unreachable)
    assert not isinstance(missing.value, Unreachable)


def test_no_secret_is_in_evidence(storage: Running) -> None:
    notebook = Notebook("one")
    asked(storage.probe(), lambda probe: probe.objects("list/"), notebook)
    asked(storage.probe(), lambda probe: probe.bucket(), notebook)
    said = json.dumps([seen.to_json() for seen in notebook.observations])
    assert storage.secret_key not in said
    assert storage.access_key not in said
    assert notebook.observations[0].target == f"{storage.url}/{BUCKET}"


def test_equal_questions_are_asked_once(storage: Running) -> None:
    notebook = Notebook("one")

    async def twice(probe: S3) -> None:
        await asyncio.gather(probe.newest(), probe.newest())

    asked(storage.probe(), twice, notebook)
    assert sorted(seen.shared for seen in notebook.observations) == [False, True]


def at(url: str, **settings: Any) -> S3:
    return Running(url, "AKIAX", "canary", None).probe(**{"timeout": 5, **settings})  # type: ignore[arg-type]


async def from_server(handler: Handler, ask: Callable[[S3], Any] = S3.objects, **settings: Any) -> Any:
    async with serving(handler) as port:
        probe = at(f"http://127.0.0.1:{port}", **settings)
        try:
            return await ask(probe)
        finally:
            await probe.close()


def test_a_server_that_is_not_there_is_unreachable() -> None:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    with pytest.raises(Unreachable, match=f'^"http://127.0.0.1:{port}" refused the connection$'):
        asked(at(f"http://127.0.0.1:{port}"), S3.bucket)
    with pytest.raises(Unreachable, match="does not resolve"):
        asked(at("http://nowhere.invalid", timeout=10) if False else at("http://nowhere.invalid"), S3.bucket)


async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def trickles(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await request_of(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(60):
        writer.write(b"<")
        await writer.drain()
        await asyncio.sleep(0.1)


async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await request_of(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\n\r\n<?xml version='1.0'?><ListBucketResult>")
    while True:
        writer.write(b" " * 1_000_000)
        await writer.drain()


async def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await request_of(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n<half")


@pytest.mark.parametrize("handler", [never, trickles])
def test_a_server_that_does_not_answer_in_time_is_unreachable(handler: Handler) -> None:
    begun = time.monotonic()
    with pytest.raises(Unreachable, match=f'/{BUCKET}" did not answer within 1.0 s'):
        run(from_server(handler, timeout=1))
    assert time.monotonic() - begun < 5


def test_a_server_that_closes_in_the_middle_is_unreachable() -> None:
    with pytest.raises(Unreachable, match="in the middle of its answer"):
        run(from_server(closes))


def test_an_answer_without_end_is_unmeasured_within_memory() -> None:
    tracemalloc.start()
    try:
        with pytest.raises(Unmeasured, match="an answer that is too long or too slow"):
            run(from_server(endless, max_bytes=2_000_000, timeout=20))
        assert tracemalloc.get_traced_memory()[1] < 60_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("page", "kind", "words"),
    [
        (reply(200, "<html><body>welcome"), Unmeasured, "a page came where an answer of S3 was expected"),
        (reply(200, "<?xml version='1.0'?><feed/>"), Unmeasured, "a listing that is none"),
        (reply(503, "<html>busy</html>"), Unreachable, "fails: 503"),
        (reply(403, "no"), Unmeasured, "refuses access: 403"),
        (reply(404, "<html>not found</html>"), Unmeasured, "no bucket"),
        (reply(418, ""), Unmeasured, "refuses: 418: "),
    ],
)
def test_what_is_no_s3_server_says_so(page: bytes, kind: type[Exception], words: str) -> None:
    class Odd(Site):
        def answer(self, first: str, headers: dict[str, str], body: bytes) -> bytes:
            return page

    with pytest.raises(kind, match=words) as raised:
        run(from_server(Odd()))
    assert type(raised.value) is kind


def test_an_object_that_is_not_what_its_checksum_says_is_unmeasured() -> None:
    class Lying(Site):
        def answer(self, first: str, headers: dict[str, str], body: bytes) -> bytes:
            assert headers["x-amz-checksum-mode"] == "ENABLED"
            return reply(200, "changed on the way", {"x-amz-checksum-crc32": "AAAAAA=="})

    with pytest.raises(Unmeasured, match="does not match its checksum"):
        run(from_server(Lying(), lambda probe: probe.read("one")))


def test_without_credentials_or_bucket_nothing_is_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(Unmeasured, match="no credentials\n  hint: set access_key and secret_key"):
        asked(at("http://127.0.0.1:1", access_key=None, secret_key=None), S3.bucket)
    with pytest.raises(Unmeasured, match='probe "storage" has no bucket'):
        asked(at("http://127.0.0.1:1", bucket=""), S3.bucket)


@pytest.mark.parametrize("url", ["http://user:canary@host", "not an address", "ftp://host"])
def test_an_endpoint_that_is_no_address_or_holds_a_password_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="endpoint_url"):
        at(url)

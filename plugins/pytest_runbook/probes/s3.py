"""A bucket behind the S3 interface: which objects it holds, how new and how large they are, and whether they are whole."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from pytest_runbook.errors import Unmeasured
from pytest_runbook.probes._address import public
from pytest_runbook.probes._plain import plain
from pytest_runbook.probes._s3 import ABSENT, S3Settings, code_of, connect, trouble
from pytest_runbook.probes.base import Probe

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

T = TypeVar("T")
PIECE = 1_048_576
"""Bytes of an object that are held at once while its checksum is computed."""


@dataclass(frozen=True, slots=True)
class Object:
    """An object as a listing shows it."""

    key: str
    size: int
    """Bytes."""
    modified: datetime
    """UTC."""
    etag: str


@dataclass(frozen=True, slots=True)
class Head:
    """What is known of one object."""

    key: str
    size: int
    modified: datetime
    etag: str
    metadata: Mapping[str, str]
    version: str | None
    checksums: Mapping[str, str]
    """Algorithm (`sha256`, `crc32`, …) to the checksum that the server keeps, in base64."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """Properties of the bucket; None: the server does not know such a thing."""

    name: str
    versioning: bool | None
    object_lock: bool | None


class S3(Probe[S3Settings]):
    """Client of one bucket."""

    kind = "s3"
    Settings = S3Settings

    def __init__(self, name: str, settings: S3Settings) -> None:
        super().__init__(name, settings)
        self._making = asyncio.Lock()
        self._client: S3Client | None = None
        self._close: Callable[[], None] = lambda: None

    @property
    def target(self) -> str:
        """Endpoint and bucket."""
        return f"{public(self.settings.endpoint_url).rstrip('/') or 's3:/'}/{self.settings.bucket}"

    async def close(self) -> None:
        """Close the connections."""
        self._close()

    async def bucket(self) -> Bucket:
        """The bucket; Unmeasured when there is none or access is refused."""
        return await self._look("bucket", self._bucket)

    async def objects(self, prefix: str = "") -> list[Object]:
        """All objects whose keys begin with PREFIX, by key."""
        return await self._look(f'objects "{prefix}"', lambda client: self._objects(client, prefix), _listing)

    async def newest(self, prefix: str = "") -> Object | None:
        """The object last modified of those whose keys begin with PREFIX; None when there is none."""

        def call(client: S3Client) -> Object | None:
            return max(self._objects(client, prefix), key=lambda one: (one.modified, one.key), default=None)

        return await self._look(f'newest object "{prefix}"', call)

    async def head(self, key: str) -> Head | None:
        """What is known of the object KEY; None when it is not there."""
        return await self._look(f'head of "{key}"', lambda client: self._head(client, key))

    async def read(self, key: str, max_bytes: int = 1_000_000) -> bytes:
        """The object KEY, compared with the server's checksum where it keeps one; Unmeasured when it is not there."""

        def call(client: S3Client) -> bytes:
            content = bytearray()
            self._stream(client, key, max_bytes, content.extend)
            return bytes(content)

        return await self._look(f'read "{key}"', call, lambda content: {"bytes": len(content)})

    async def checksum(
        self, key: str, algorithm: str = "sha256", *, max_bytes: int = 10_000_000_000, seconds: float = 300.0
    ) -> str:
        """The checksum of the object KEY as it is stored, in hexadecimal, by reading all of it within SECONDS."""

        def call(client: S3Client) -> str:
            digest = hashlib.new(algorithm)
            self._stream(client, key, max_bytes, digest.update)
            return digest.hexdigest()

        return await self._look(f'{algorithm} of "{key}"', call, seconds=seconds)

    async def _look(
        self,
        operation: str,
        call: Callable[[S3Client], T],
        answer: Callable[[T], Any] = plain,
        seconds: float | None = None,
    ) -> T:
        async def ask() -> T:
            client = await self._ready()  # importing boto3 takes its time, and that is not the server's
            return await self.limited(self.blocking(lambda: self._worded(lambda: call(client))), seconds)

        return await self.observe(operation, ask, answer=answer)

    async def _ready(self) -> S3Client:
        if not self.settings.bucket:
            raise Unmeasured(f'probe "{self.name}" has no bucket\n  hint: set probes.{self.name}.bucket')
        async with self._making:  # boto3's clients may be shared by threads, but not made by several at once
            if self._client is not None:
                return self._client
            client, self._close = await self.blocking(lambda: self._worded(lambda: connect(self.settings)))
            self._client = client
            return client

    def _worded(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except Exception as error:  # boto3's errors have no common base; what is not one of them passes
            worded = trouble(self.target, self.settings.endpoint_url or self.target, error, self.settings.timeout)
            if worded is None:
                raise
            raise worded from None

    def _objects(self, client: S3Client, prefix: str) -> list[Object]:
        found: list[Object] = []
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=self.settings.bucket, Prefix=prefix):
            if "IsTruncated" not in page:
                raise Unmeasured("a listing that is none")
            for one in page.get("Contents", ()):
                etag = one.get("ETag", "").strip('"')
                found.append(Object(one["Key"], one["Size"], one["LastModified"].astimezone(UTC), etag))
            if len(found) > self.settings.max_objects:
                raise Unmeasured(
                    f'more than {self.settings.max_objects} objects begin with "{prefix}"\n'
                    f"  hint: ask for a longer prefix, or raise probes.{self.name}.max_objects"
                )
        return found

    def _head(self, client: S3Client, key: str) -> Head | None:
        try:
            seen = client.head_object(Bucket=self.settings.bucket, Key=key, ChecksumMode="ENABLED")
        except client.exceptions.ClientError as error:
            if code_of(error) not in ABSENT:
                raise
            client.head_bucket(Bucket=self.settings.bucket)  # the same code says that the whole bucket is not there
            return None
        return Head(
            key=key,
            size=seen["ContentLength"],
            modified=seen["LastModified"].astimezone(UTC),
            etag=seen["ETag"].strip('"'),
            metadata=seen.get("Metadata", {}),
            version=seen.get("VersionId"),
            checksums=_checksums(seen),
        )

    def _stream(self, client: S3Client, key: str, max_bytes: int, take: Callable[[bytes], object]) -> None:
        """Give the object KEY to TAKE, piece by piece."""
        try:
            body = client.get_object(Bucket=self.settings.bucket, Key=key)["Body"]
        except client.exceptions.NoSuchKey:
            raise Unmeasured(f'no object "{key}"') from None
        size = 0
        with body:
            while piece := body.read(PIECE):
                size += len(piece)
                if size > max_bytes:
                    raise Unmeasured(f'object "{key}" has more than {max_bytes} bytes')
                take(piece)

    def _bucket(self, client: S3Client) -> Bucket:
        name = self.settings.bucket
        client.head_bucket(Bucket=name)
        versioning = _known(lambda: client.get_bucket_versioning(Bucket=name).get("Status") == "Enabled")
        lock = _known(lambda: "ObjectLockConfiguration" in client.get_object_lock_configuration(Bucket=name))
        return Bucket(name, versioning, lock)


def _checksums(seen: Mapping[str, Any]) -> dict[str, str]:
    """The checksums among the fields of an answer: `ChecksumSHA256` is `sha256`."""
    names = [name for name in seen if name.startswith("Checksum") and name != "ChecksumType"]
    return {name.removeprefix("Checksum").lower(): str(seen[name]) for name in names}


def _known(ask: Callable[[], bool]) -> bool | None:
    """What ASK says of a property; False when the bucket has it not, None when the server does not tell."""
    from botocore.exceptions import ClientError  # late: heavy

    try:
        return ask()
    except ClientError as error:
        return False if "NotFound" in code_of(error) else None


def _listing(found: list[Object]) -> dict[str, Any]:
    newest = sorted(found, key=lambda one: one.modified)[-5:]
    return {"count": len(found), "bytes": sum(one.size for one in found), "newest": plain(newest)}

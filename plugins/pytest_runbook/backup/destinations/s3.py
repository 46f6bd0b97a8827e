"""A bucket behind the S3 interface: parts with SHA-256, continued where an upload broke off, compared when all is there."""

from __future__ import annotations

import base64
import hashlib
import io
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, cast

from pytest_runbook import clock
from pytest_runbook.backup.checksums import of_file
from pytest_runbook.backup.destinations.base import DestinationSettings, Place, order
from pytest_runbook.backup.manifest import ID, MANIFEST
from pytest_runbook.errors import BackupError, Unmeasured, Unreachable
from pytest_runbook.probes._address import public
from pytest_runbook.probes._s3 import ABSENT, S3Settings, code_of, connect, trouble

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

T = TypeVar("T")
PART = 8 << 20
"""Bytes of a part; also the size up to which a file is sent at once. More where a file would have too many."""
PARTS = 9_000
"""The protocol knows 10,000."""
PAUSE = 0.5
"""Seconds before the second try, doubled before each further one."""
SECONDS = 60.0
"""That one request may be silent, at least: a part on a slow line takes its time."""
AT_ONCE = 4
"""Parts on their way together."""
DIGEST = "sha256"
"""Metadata with the SHA-256 of the whole object: what the server keeps itself is one of parts."""


class BucketSettings(DestinationSettings):
    """Which bucket."""

    probe: str
    """The probe of kind s3 that says where the bucket is, and has the keys."""
    prefix: str = ""
    """What the keys of backups begin with: `nightly/`."""


class S3(Place[BucketSettings]):
    """Backups as objects `PREFIX/ID/NAME`."""

    kind = "s3"
    Settings = BucketSettings

    @cached_property
    def _probe(self) -> S3Settings:
        probe = self.settings.probes[self.own.probe]
        if not isinstance(probe, S3Settings):
            raise BackupError(f'the probe "{self.own.probe}" is of kind "{probe.kind}", not s3')
        if not probe.bucket:
            raise BackupError(
                f'the destination "{self.name}" has no bucket\n  hint: set probes.{self.own.probe}.bucket',
                reason="unreachable",
            )
        return probe.model_copy(update={"timeout": max(probe.timeout, SECONDS)})

    @cached_property
    def _connected(self) -> tuple[S3Client, Callable[[], None]]:
        return connect(self._probe)

    @property
    def place(self) -> str:
        """Endpoint, bucket and prefix."""
        endpoint = public(self._probe.endpoint_url).rstrip("/") or "s3:/"
        return f"{endpoint}/{self._probe.bucket}/{self._prefix}".rstrip("/")

    def close(self) -> None:
        """Close the connections."""
        if "_connected" in vars(self):
            self._connected[1]()
            del self._connected

    @property
    def _prefix(self) -> str:
        return f"{self.own.prefix.strip('/')}/" if self.own.prefix.strip("/") else ""

    def _ids(self) -> dict[str, bool]:
        found: dict[str, bool] = {}
        for key in self._sizes(self._prefix):
            name, _, rest = key.partition("/")
            if ID.fullmatch(name) and rest:
                found[name] = found.get(name, False) or rest.startswith(MANIFEST)
        return found

    def partial(self) -> list[str]:
        """Also those of which no object is whole yet."""
        begun = {key[len(self._prefix) :].partition("/")[0] for key, _ in self.begun(self._prefix)}
        known = self._ids()
        left = {one for one, whole in known.items() if not whole} | {one for one in begun if ID.fullmatch(one)} - set(
            known
        )
        return sorted(left, key=order)

    def _list(self, id: str) -> dict[str, int]:  # noqa: A002
        return {key.partition("/")[2]: size for key, size in self._sizes(f"{self._prefix}{id}/").items()}

    def _sizes(self, prefix: str) -> dict[str, int]:
        """Size of every object whose key begins with PREFIX, by its key without that of the settings."""

        def ask(client: S3Client) -> dict[str, int]:
            pages = client.get_paginator("list_objects_v2").paginate(Bucket=self._probe.bucket, Prefix=prefix)
            return {one["Key"][len(self._prefix) :]: one["Size"] for page in pages for one in page.get("Contents", ())}

        return self._ask(ask)

    def _get(self, key: str) -> BinaryIO:
        return cast(BinaryIO, io.BufferedReader(_Object(self, self._prefix + key), 1 << 20))

    def _same(self, key: str, path: Path) -> bool:
        head = self._head(self._prefix + key)
        return bool(
            head
            and head["ContentLength"] == path.stat().st_size
            and head.get("Metadata", {}).get(DIGEST) == of_file(path, self._looked)
        )

    def _mark(self, key: str) -> str:
        head = self._head(self._prefix + key)
        return f"{head['ContentLength']} {head['ETag']}" if head else ""

    def _head(self, key: str) -> Mapping[str, Any] | None:
        def ask(client: S3Client) -> Mapping[str, Any] | None:
            try:
                return client.head_object(Bucket=self._probe.bucket, Key=key, ChecksumMode="ENABLED")
            except client.exceptions.ClientError as error:
                if code_of(error) not in ABSENT:
                    raise
                return None

        return self._ask(ask)

    def _put(self, key: str, path: Path) -> None:
        full, size = self._prefix + key, path.stat().st_size
        try:
            if size <= PART:
                self._put_small(full, path.read_bytes())
                self.advance(size)
            else:
                _Upload(self, full, path).send()
        except OSError as error:
            raise BackupError(f'"{path}" cannot be read: {error.strerror or error}') from None

    def _put_small(self, key: str, content: bytes) -> None:
        digest = hashlib.sha256(content)
        checksum = base64.b64encode(digest.digest()).decode()
        answer = self._ask(
            lambda client: client.put_object(
                Bucket=self._probe.bucket,
                Key=key,
                Body=content,
                ChecksumSHA256=checksum,
                Metadata={DIGEST: digest.hexdigest()},
            )
        )
        if answer.get("ChecksumSHA256") != checksum:  # it says nothing of what it got
            self._compare(key, len(content), checksum)

    def _compare(self, key: str, size: int, checksum: str) -> None:
        """Raise BackupError when the object KEY has not SIZE and CHECKSUM, as far as the server tells them."""
        head = self._head(key) or {}
        told = head.get("ChecksumSHA256")
        if head.get("ContentLength") != size or (told and told != checksum):
            raise BackupError(f'"{self.place}": "{key}" is not what was sent', reason="corrupt")

    def _delete(self, keys: list[str]) -> None:
        for key in keys:
            full = self._prefix + key
            self._ask(lambda client, one=full: client.delete_object(Bucket=self._probe.bucket, Key=one))  # type: ignore[misc]

    def _refuse(self, keys: list[str]) -> None:
        # A versioned bucket deletes what it keeps without a word: it only hides it, from those who restore as well.
        for key in keys:
            head = self._head(self._prefix + key) or {}
            until: datetime | None = head.get("ObjectLockRetainUntilDate")
            if head.get("ObjectLockLegalHoldStatus") == "ON":
                raise BackupError(f'"{self.place}" keeps "{key}" by a legal hold', reason="locked")
            if until and until > clock.now():
                raise BackupError(f'"{self.place}" keeps "{key}" until {clock.iso(until)}', reason="locked")

    def abort(self, id: str) -> int:  # noqa: A002
        """Give up what was begun to be sent of the backup ID; how many objects that were."""
        begun = [*self.begun(f"{self._prefix}{id}/")]
        for key, upload in begun:
            self._ask(
                lambda client, key=key, upload=upload: client.abort_multipart_upload(  # type: ignore[misc]
                    Bucket=self._probe.bucket, Key=key, UploadId=upload
                )
            )
        return len(begun)

    def begun(self, prefix: str) -> Iterator[tuple[str, str]]:
        """Key and id of each upload below PREFIX that was begun and neither ended nor given up."""

        def ask(client: S3Client) -> list[tuple[str, str]]:
            pages = client.get_paginator("list_multipart_uploads").paginate(Bucket=self._probe.bucket, Prefix=prefix)
            found = [(one.get("Key", ""), one.get("UploadId", "")) for page in pages for one in page.get("Uploads", ())]
            return [one for one in found if one[0].startswith(prefix)]

        yield from self._ask(ask)

    def _ask(self, call: Callable[[S3Client], T]) -> T:
        """What CALL gives; tried again while the storage does not serve. BackupError in words."""
        tries, pause = self.tries, PAUSE
        while True:
            try:
                return call(self._connected[0])
            except BackupError:
                raise
            except Exception as error:  # boto3's errors have no common base; what is not one of them passes
                worded = trouble(self._told, self._probe.endpoint_url or self._told, error, self._probe.timeout)
                if worded is None:
                    raise
                tries -= 1
                if not isinstance(worded, Unreachable) or tries <= 0:
                    raise _as_backup_error(worded, error) from None
            time.sleep(pause)
            pause *= 2

    @property
    def _told(self) -> str:
        return f"{public(self._probe.endpoint_url).rstrip('/') or 's3:/'}/{self._probe.bucket}"


def _as_backup_error(worded: Unmeasured, error: Exception) -> BackupError:
    code = code_of(error)
    if code == "AccessDenied" and "lock" in str(error).lower():
        return BackupError(f"{worded}\n  hint: the bucket keeps its objects for a time", reason="locked")
    return BackupError(str(worded), reason="unreachable")


@dataclass(frozen=True)
class _Part:
    number: int
    start: int
    size: int


class _Upload:
    """One file in parts."""

    def __init__(self, place: S3, key: str, path: Path) -> None:
        self._place, self._key, self._path = place, key, path
        self._size = path.stat().st_size
        self._each = max(PART, -(-self._size // PARTS))
        self._bucket = place._probe.bucket

    def send(self) -> None:
        """Send what is not there yet, and compare."""
        parts = [
            _Part(number, start, min(self._each, self._size - start))
            for number, start in enumerate(range(0, self._size, self._each), 1)
        ]
        upload, there = self._begun()
        with ThreadPoolExecutor(AT_ONCE if self._each == PART else 1) as pool:
            work = [pool.submit(self._part, upload, part, there.get(part.number)) for part in parts]
            try:
                sent = [one.result() for one in work]
            except BaseException:
                for one in work:
                    one.cancel()
                raise
        whole = base64.b64encode(hashlib.sha256(b"".join(digest for _, digest in sent)).digest()).decode()
        listed = [
            {"PartNumber": part.number, "ETag": etag, "ChecksumSHA256": base64.b64encode(digest).decode()}
            for part, (etag, digest) in zip(parts, sent, strict=True)
        ]
        self._place._ask(
            lambda client: client.complete_multipart_upload(
                Bucket=self._bucket, Key=self._key, UploadId=upload, MultipartUpload=cast(Any, {"Parts": listed})
            )
        )
        self._place._compare(self._key, self._size, f"{whole}-{len(parts)}")

    def _begun(self) -> tuple[str, dict[int, tuple[str, str, int]]]:
        """The upload to go on with, and what it has: number to checksum, ETag and size; others of this key are given up."""
        digest = of_file(self._path, self._place._looked)
        with suppress(BackupError):  # a server that cannot list them gets the whole file
            for key, upload in self._place.begun(self._key):
                if key == self._key:
                    return upload, self._parts(upload)
        made = self._place._ask(
            lambda client: client.create_multipart_upload(
                Bucket=self._bucket, Key=self._key, ChecksumAlgorithm="SHA256", Metadata={DIGEST: digest}
            )
        )
        return made["UploadId"], {}

    def _parts(self, upload: str) -> dict[int, tuple[str, str, int]]:
        def ask(client: S3Client) -> dict[int, tuple[str, str, int]]:
            pages = client.get_paginator("list_parts").paginate(Bucket=self._bucket, Key=self._key, UploadId=upload)
            found: list[Mapping[str, Any]] = [cast(Any, one) for page in pages for one in page.get("Parts", ())]
            return {
                int(one["PartNumber"]): (str(one.get("ChecksumSHA256", "")), str(one.get("ETag", "")), int(one["Size"]))
                for one in found
            }

        return self._place._ask(ask)

    def _part(self, upload: str, part: _Part, there: tuple[str, str, int] | None) -> tuple[str, bytes]:
        """ETag and digest of PART, which is sent unless it is THERE."""
        with self._path.open("rb") as file:
            file.seek(part.start)
            content = file.read(part.size)
        digest = hashlib.sha256(content).digest()
        checksum = base64.b64encode(digest).decode()
        etag = f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'
        same = (
            there
            and there[2] == part.size
            and (there[0] == checksum if there[0] else there[1].strip('"') == etag[1:-1])
        )
        if not same:
            etag = self._place._ask(
                lambda client: client.upload_part(
                    Bucket=self._bucket,
                    Key=self._key,
                    UploadId=upload,
                    PartNumber=part.number,
                    Body=content,
                    ChecksumSHA256=checksum,
                )
            )["ETag"]
        elif there:
            etag = there[1]
        self._place.advance(part.size)
        return etag, digest


class _Object(io.RawIOBase):
    """Reads an object; where the connection breaks, it goes on from there."""

    def __init__(self, place: S3, key: str) -> None:
        self._place, self._key, self._at = place, key, 0
        self._etag = ""
        self._body: Any = None
        self._open()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill BUFFER with what comes next."""
        tries, pause = self._place.tries, PAUSE
        while True:
            try:
                piece: bytes = self._body.read(len(buffer))
                break
            except Exception as error:  # as in S3._ask
                worded = trouble(self._place._told, self._place._told, error, self._place._probe.timeout)
                if worded is None:
                    raise
                tries -= 1
                if tries <= 0:
                    raise _as_backup_error(worded, error) from None
            time.sleep(pause)
            pause *= 2
            self._open()
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def close(self) -> None:
        if self._body is not None:
            self._body.close()
        super().close()

    def _open(self) -> None:
        more: dict[str, Any] = {"Range": f"bytes={self._at}-", "IfMatch": self._etag} if self._at else {}

        def ask(client: S3Client) -> Mapping[str, Any]:
            try:
                return client.get_object(Bucket=self._place._probe.bucket, Key=self._key, **more)
            except client.exceptions.NoSuchKey:
                raise BackupError(f'"{self._place.name}" has no "{self._key}"', reason="missing") from None

        answer = self._place._ask(ask)
        self._body, self._etag = answer["Body"], answer["ETag"]

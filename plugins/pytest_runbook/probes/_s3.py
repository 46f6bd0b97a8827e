"""boto3 made fit for a probe: bounded in time and memory, and its many errors in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pydantic import SecretStr, field_validator

from pytest_runbook import clock
from pytest_runbook.errors import Unmeasured, Unreachable
from pytest_runbook.probes._address import checked, public, unreachable
from pytest_runbook.probes.base import ProbeSettings

if TYPE_CHECKING:
    from botocore.awsrequest import AWSPreparedRequest, AWSResponse
    from botocore.httpsession import URLLib3Session
    from mypy_boto3_s3 import S3Client

ABSENT = ("404", "NoSuchKey", "NotFound")


class S3Settings(ProbeSettings):
    """Settings of the S3 probe."""

    bucket: str = ""
    """Empty: not configured, and nothing can be measured."""
    endpoint_url: str = ""
    """Of a server that is not Amazon's."""
    region: str = ""
    access_key: SecretStr | None = None
    secret_key: SecretStr | None = None
    """Both absent: where boto3 looks by itself (AWS_* variables, profiles, the machine's role)."""
    ca_file: Path | None = None
    """Authorities to trust instead of the usual ones, PEM."""
    max_objects: int = 10_000
    """Objects that one listing may have."""
    max_bytes: int = 10_000_000
    """Size that one answer, other than an object, may have."""

    @field_validator("endpoint_url")
    @classmethod
    def _is_http(cls, url: str) -> str:
        if url and checked(url) != public(url):
            raise ValueError("must hold neither user nor password; they are access_key and secret_key")
        return url


def connect(own: S3Settings) -> tuple[S3Client, Callable[[], None]]:
    """A client as OWN says, and what closes it."""
    import boto3  # late: heavy
    from botocore.config import Config
    from botocore.httpsession import URLLib3Session

    keys = [key.get_secret_value() if key else None for key in (own.access_key, own.secret_key)]
    client = boto3.session.Session().client(
        "s3",
        region_name=own.region or "us-east-1",
        endpoint_url=own.endpoint_url or None,
        aws_access_key_id=keys[0] or None,
        aws_secret_access_key=keys[1] or None,
        config=Config(
            retries={"total_max_attempts": 2, "mode": "standard"},
            s3={"addressing_style": "path" if own.endpoint_url else "auto"},
        ),
    )
    options: dict[str, Any] = {
        "verify": str(own.ca_file) if own.ca_file else True,
        "proxies": {},  # a proxy that the shell knows is not part of the system that is verified
        "timeout": (own.timeout, own.timeout),
        "max_pool_connections": own.concurrency,
    }
    session = URLLib3Session(**options)
    client.meta.events.register("before-send.s3", _sending(session, own.max_bytes, own.timeout))

    def close() -> None:
        session.close()
        client.close()

    return client, close


def _sending(session: URLLib3Session, max_bytes: int, seconds: float) -> Callable[..., Any]:
    """How requests are sent: boto3 would read an answer of any length, at any pace, whole into memory.

    The body of an object, which its reader asks for piece by piece, stays as it is.
    """
    from botocore.awsrequest import AWSResponse  # late: heavy
    from botocore.exceptions import ConnectionClosedError

    def send(request: AWSPreparedRequest, **_event: Any) -> AWSResponse:
        is_object = request.stream_output
        request.stream_output = True
        answer = session.send(request)
        if is_object and answer.status_code < 300:
            return answer
        raw: Any = _Bounded(answer.raw, max_bytes, clock.monotonic() + seconds)
        bounded = AWSResponse(answer.url, answer.status_code, cast(Any, answer.headers), raw)
        # Read and judged now: boto3 retries what breaks here, and takes for an error of the server what breaks later.
        content, length = bounded.content, answer.headers.get("Content-Length", "")
        if request.method != "HEAD" and length.isdigit() and len(content) < int(length):
            raise ConnectionClosedError(endpoint_url=public(str(request.url)))
        if content.lstrip()[:9].lower().startswith((b"<!doctype", b"<html")) and answer.status_code < 300:
            raise Unmeasured("a page came where an answer of S3 was expected")
        return bounded

    return send


class _Bounded:
    """A body, as far as botocore reads one, that ends with an error where it becomes too long or too slow."""

    def __init__(self, raw: Any, max_bytes: int, deadline: float) -> None:
        self._raw = raw
        self._left = max_bytes
        self._deadline = deadline

    def stream(self) -> Iterator[bytes]:
        """The pieces of the body."""
        for piece in self._raw.stream():
            self._left -= len(piece)
            if self._left < 0 or clock.monotonic() > self._deadline:
                self._raw.close()
                raise Unmeasured("an answer that is too long or too slow")
            yield piece


def code_of(error: BaseException) -> str:
    """The S3 error code of ERROR; empty when it is none."""
    from botocore.exceptions import ClientError  # late: heavy

    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


def trouble(target: str, url: str, error: Exception, seconds: float) -> Unmeasured | None:
    """ERROR of a call of TARGET (at URL), which may take SECONDS, in words; None when it is not S3's or boto3's."""
    from botocore import exceptions, parsers  # late: heavy
    from urllib3.exceptions import HTTPError

    match error:
        case Unreachable():
            return error
        case Unmeasured():
            return Unmeasured(f'"{target}": {error}')
        case exceptions.ClientError():
            return _refusal(target, error)
        case (
            exceptions.NoCredentialsError()
            | exceptions.PartialCredentialsError()
            | exceptions.CredentialRetrievalError()
        ):
            return Unmeasured(
                f'"{target}": no credentials\n  hint: set access_key and secret_key, or AWS_ACCESS_KEY_ID, …'
            )
        case exceptions.FlexibleChecksumError():
            return Unmeasured(f'"{target}": an object does not match its checksum')
        case parsers.ResponseParserError():
            return Unmeasured(f'"{target}" does not answer as S3 does')
        case exceptions.HTTPClientError() | exceptions.ConnectionError() | HTTPError():
            closed = Unreachable(f'"{url}" closed the connection in the middle of its answer')
            return unreachable(url, error, seconds) or closed
        case exceptions.BotoCoreError() | ValueError():
            return Unmeasured(f'"{target}" cannot be asked: {error}')
    return None


def _refusal(target: str, error: Any) -> Unmeasured:
    """An error that the server itself answers."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    code, said = code_of(error) or str(status), error.response.get("Error", {}).get("Message", "")
    what = code if code == str(status) else f"{status} {code}"
    if code in ("NoSuchBucket", "404"):
        return Unmeasured(f'no bucket "{target}"')
    if status >= 500:
        return Unreachable(f'"{target}" fails: {what}')
    if status in (401, 403):
        return Unmeasured(f'"{target}" refuses access: {what}')
    return Unmeasured(f'"{target}" refuses: {what}: {said}')

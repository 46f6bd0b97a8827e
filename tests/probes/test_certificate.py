"""Certificates, by real handshakes: those that verify and those that do not."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from pytest_runbook.errors import Unmeasured, Unreachable
from pytest_runbook.evidence.context import Notebook
from pytest_runbook.probes._fetch import HttpSettings
from pytest_runbook.probes._tls import Certificate
from pytest_runbook.probes.http import Http

from tests.probes.sites import Handler, Site, reply, run, serving

SITE = Site({"/": reply(200, "over TLS")})


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA(organization_name="Lab")


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return path


def server(authority: trustme.CA, *names: str, days: float = 90) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    end = datetime.now(UTC) + timedelta(days=days)
    authority.issue_cert(*names, not_before=end - timedelta(days=90), not_after=end).configure_cert(context)
    return context


def proxy(port: int, ca_file: Path | None, **settings: object) -> Http:
    url = f"https://127.0.0.1:{port}"
    return Http(
        "proxy", HttpSettings.model_validate({"kind": "http", "url": url, "timeout": 2, "ca_file": ca_file, **settings})
    )


def shown_by(tls: ssl.SSLContext | None, ca_file: Path | None, handler: Handler = SITE) -> Certificate:
    async def work() -> Certificate:
        async with serving(handler, tls) as port:
            return await proxy(port, ca_file).certificate()

    return run(work())


def test_a_good_certificate_is_described_and_verified(authority: trustme.CA, ca_file: Path) -> None:
    seen = shown_by(server(authority, "night.example", "127.0.0.1"), ca_file)
    assert (seen.verified, seen.error) == (True, "")
    assert set(seen.names) == {"night.example", "127.0.0.1"}
    assert "O=Lab" in seen.issuer
    assert 89 < seen.days_left < 90.1
    assert seen.not_before < datetime.now(UTC) < seen.not_after


def test_an_expired_certificate_is_described_all_the_same(authority: trustme.CA, ca_file: Path) -> None:
    seen = shown_by(server(authority, "127.0.0.1", days=-2), ca_file)
    assert (seen.verified, seen.error) == (False, "certificate has expired")
    assert -2.1 < seen.days_left < -1.9


def test_a_certificate_for_another_name_is_not_verified(authority: trustme.CA, ca_file: Path) -> None:
    seen = shown_by(server(authority, "other.example"), ca_file)
    assert not seen.verified
    assert "mismatch" in seen.error
    assert seen.names == ("other.example",)


def test_a_certificate_of_an_unknown_authority_is_not_verified(authority: trustme.CA) -> None:
    seen = shown_by(server(authority, "127.0.0.1"), None)
    assert not seen.verified
    assert "unable to get local issuer certificate" in seen.error


def test_the_certificate_is_evidence(authority: trustme.CA, ca_file: Path) -> None:
    notebook = Notebook("one")

    async def work() -> None:
        async with serving(SITE, server(authority, "127.0.0.1")) as port:
            await proxy(port, ca_file).certificate()

    run(work(), notebook)
    [seen] = notebook.observations
    assert seen.operation.startswith("certificate of 127.0.0.1:")
    assert seen.answer["verified"] is True
    assert seen.answer["not_after"].endswith("Z")


def test_get_trusts_the_authority_of_the_settings_alone(authority: trustme.CA, ca_file: Path) -> None:
    async def get(ca_file: Path | None, **settings: object) -> str:
        async with serving(SITE, server(authority, "127.0.0.1")) as port:
            probe = proxy(port, ca_file, **settings)
            try:
                return (await probe.get("/")).text
            finally:
                await probe.close()

    assert run(get(ca_file)) == "over TLS"
    assert run(get(None, verify=False)) == "over TLS"
    with pytest.raises(Unreachable, match=r'" shows a certificate that does not verify: unable to get local issuer'):
        run(get(None))


def test_a_server_that_does_not_speak_tls_says_so(ca_file: Path) -> None:
    async def banner(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(400, "plain HTTP\r\n"))
        await reader.read()

    with pytest.raises(
        Unreachable, match=r"does not complete a TLS handshake: (wrong version number|record layer failure)"
    ):
        shown_by(None, ca_file, banner)


def test_a_handshake_that_hangs_ends_in_time(ca_file: Path) -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def work() -> None:
        async with serving(hang) as port:
            await proxy(port, ca_file, timeout=0.3).certificate()

    with pytest.raises(Unreachable, match="did not answer within 300 ms"):
        run(work())


def test_a_missing_or_broken_ca_file_is_unmeasured(tmp_path: Path) -> None:
    broken = tmp_path / "ca.pem"
    broken.write_text("not a certificate")
    for path in (tmp_path / "gone.pem", broken):
        with pytest.raises(Unmeasured, match=f'CA file "{path}" cannot be used'):
            run(proxy(1, path).get("/"))


def test_an_address_without_tls_has_no_certificate() -> None:
    probe = Http("web", HttpSettings(kind="http", url="http://127.0.0.1:1"))
    with pytest.raises(Unmeasured, match=r'"http://127.0.0.1:1" does not use TLS'):
        run(probe.certificate())

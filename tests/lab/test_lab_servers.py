"""What a running lab holds: real servers that do what production's do, found by the variables it gives."""

from __future__ import annotations

import hashlib
import json
import os
import smtplib
import ssl
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path

import boto3
import httpx
import psycopg
import pytest
import redis
from botocore.exceptions import ClientError

from lab import Lab, binaries, home
from tests.labs import ROOT
from tests.probes.databases import until

TABLES = {
    "user", "prediction", "detection", "notification_preference", "user_plans", "plan_features", "quota_usage",
    "daily_usage_details", "subscription_events", "quota_transactions", "data_retention_log", "prediction_archive",
    "alembic_version",
}  # fmt: skip


@pytest.fixture
def env(lab: Lab) -> dict[str, str]:
    return lab.environment()


def command(lab: Lab, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -m lab` on this lab."""
    return subprocess.run(
        [sys.executable, "-m", "lab", "--dir", str(lab.folder), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_process_is_healthy(lab: Lab) -> None:
    assert {status.name: status.detail for status in lab.status() if not status.healthy} == {}
    names = {status.name for status in lab.status()}
    assert names >= {"database", "standby", "cache", "replica", "storage", "mail", "proxy", "fault-proxy", "web", "ml"}


def test_servers_listen_on_loopback_only_and_below_the_ephemeral_ports(lab: Lab) -> None:
    listening = subprocess.run(["cat", "/proc/net/tcp", "/proc/net/tcp6"], capture_output=True, text=True, check=True)
    ours = {f"{port:04X}" for port in lab.site.state.ports.values()}
    addresses = {
        fields[1]
        for line in listening.stdout.splitlines()
        if (fields := line.split())[3:4] == ["0A"] and ":" in fields[1]
    }
    found = {address for address in addresses if address.split(":")[1] in ours}
    assert len(found) >= 20
    assert {address.split(":")[0] for address in found} == {"0100007F"}
    ephemeral = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert max(lab.site.state.ports.values()) < ephemeral


def test_up_again_starts_nothing(lab: Lab) -> None:
    before = [status.pid for status in lab.status()]
    lab.up()
    assert [status.pid for status in lab.status()] == before


def test_the_database_has_tables_rows_statements_and_a_role_that_may_look(env: dict[str, str]) -> None:
    with psycopg.connect(env["NIGHTSCAN_DATABASE_URI"]) as connection:
        tables = {name for (name,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
        assert tables == TABLES
        assert connection.execute("SELECT count(*) >= 1000 FROM prediction").fetchone() == (True,)
        assert connection.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)
        assert connection.execute("SELECT count(*) > 0 FROM pg_stat_statements").fetchone() == (True,)
        role = connection.execute(
            "SELECT rolsuper, pg_has_role('pg_monitor', 'member') FROM pg_roles WHERE rolname = 'nightscan'"
        )
        assert role.fetchone() == (False, True)
        senders = connection.execute("SELECT state, application_name FROM pg_stat_replication").fetchall()
        assert senders == [("streaming", "standby")]


def test_a_wrong_password_is_refused_by_every_server(env: dict[str, str]) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(env["NIGHTSCAN_DATABASE_URI"], password="wrong", connect_timeout=5)
    port = env["REDIS_URL"].rpartition(":")[2].partition("/")[0]
    with redis.Redis(port=int(port)) as client, pytest.raises(redis.AuthenticationError):
        client.ping()
    with pytest.raises(ClientError, match="403"):
        storage(env, secret="wrong").head_bucket(Bucket="nightscan-backups")


def test_the_standby_replays_what_the_primary_commits(lab: Lab, env: dict[str, str]) -> None:
    version = f"test-{os.getpid()}"
    lab.sql(f"INSERT INTO alembic_version VALUES ('{version}')")
    try:
        with psycopg.connect(env["RUNBOOK__PROBES__STANDBY__URI"], autocommit=True) as standby:
            assert standby.execute("SELECT pg_is_in_recovery()").fetchone() == (True,)
            query = "SELECT 1 FROM alembic_version WHERE version_num = %s"
            until(lambda: standby.execute(query, [version]).fetchone(), seconds=5)
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                standby.execute("DELETE FROM alembic_version")
    finally:
        lab.sql(f"DELETE FROM alembic_version WHERE version_num = '{version}'")


def test_the_cache_persists_has_a_limit_and_a_replica_that_follows(lab: Lab, env: dict[str, str]) -> None:
    with redis.Redis.from_url(env["REDIS_URL"], decode_responses=True) as client:
        assert client.config_get("appendonly") == {"appendonly": "yes"}
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "volatile-lru"}
        assert int(client.info("memory")["maxmemory"]) == 64 * 2**20
        assert client.info("replication")["connected_slaves"] == 1
        client.set("lab:test", "value", ex=60)
        assert client.wait(1, 5000) == 1
    url = env["REDIS_URL"].replace(str(lab.site.front("cache")), str(lab.site.front("replica")))
    with redis.Redis.from_url(url, decode_responses=True) as replica:
        assert replica.get("lab:test") == "value"


def storage(env: dict[str, str], secret: str | None = None):  # type: ignore[no-untyped-def] # boto3's types are generated
    return boto3.client(
        "s3",
        endpoint_url=env["AWS_ENDPOINT_URL_S3"],
        region_name=env["AWS_DEFAULT_REGION"],
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=secret or env["AWS_SECRET_ACCESS_KEY"],
    )


def test_the_bucket_holds_a_recent_backup_that_is_what_its_manifest_says(lab: Lab, env: dict[str, str]) -> None:
    client, bucket = storage(env), env["AWS_BACKUP_BUCKET"]
    keys = {entry["Key"]: entry["Size"] for entry in client.list_objects_v2(Bucket=bucket)["Contents"]}
    newest = max(key.split("/")[0] for key in keys)
    manifest = json.loads(client.get_object(Bucket=bucket, Key=f"{newest}/manifest.json")["Body"].read())
    made = datetime.fromisoformat(manifest["created"])
    assert datetime.now(UTC) - made < timedelta(hours=1)
    assert manifest["release"] == home.read_env(lab.site)["VERSION"]
    mine = {key.partition("/")[2] for key in keys if key.startswith(f"{newest}/")}
    assert mine - {"restored.json"} == {*manifest["stored"], "manifest.json", "verified.json"}
    for name, entry in manifest["stored"].items():
        content = client.get_object(Bucket=bucket, Key=f"{newest}/{name}")["Body"].read()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (entry["size"], entry["sha256"])
        assert (lab.site.home / "backups" / newest / name).read_bytes() == content
    assert manifest["database"]["tables"]["public.prediction"]["rows"] > 0
    assert (lab.site.home / "backups" / newest / "cache.rdb").read_bytes()[:5] in (b"REDIS", b"VALKE")


def test_the_proxy_serves_web_and_ml_over_tls_with_the_labs_certificate(lab: Lab, env: dict[str, str]) -> None:
    trusting = ssl.create_default_context(cafile=env["RUNBOOK__PROBES__PROXY__CA_FILE"])
    with httpx.Client(base_url=env["RUNBOOK__PROBES__PROXY__URL"], verify=trusting) as client:
        answer = client.get("/health")
        assert answer.json()["version"] == home.read_env(lab.site)["VERSION"]
        assert answer.headers["strict-transport-security"].startswith("max-age=31536000")
        wanted = {"x-content-type-options", "x-frame-options", "content-security-policy", "referrer-policy"}
        assert wanted <= set(answer.headers)
        assert client.get("/models/status").json()["success"] is True
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(env["RUNBOOK__PROBES__PROXY__URL"])
    redirect = httpx.get(f"http://127.0.0.1:{lab.site.port('proxy-http')}/login?next=x")
    assert redirect.status_code == 301
    assert redirect.headers["location"] == f"https://127.0.0.1:{lab.site.front('proxy')}/login?next=x"


def send(env: dict[str, str], subject: str, password: str | None = None) -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "lab@nightscan.example", "ops@nightscan.example", subject
    message.set_content("Grüße aus dem Labor")
    trusting = ssl.create_default_context(cafile=env["RUNBOOK__MAIL__CA_FILE"])
    with smtplib.SMTP(env["SMTP_HOST"], int(env["SMTP_PORT"]), timeout=10) as client:
        if password is not None:
            client.starttls(context=trusting)
            client.login(env["SMTP_USER"], password)
        client.send_message(message)


def test_a_mail_arrives_and_can_be_read(lab: Lab, env: dict[str, str]) -> None:
    send(env, "it works", env["SMTP_PASSWORD"])
    listed = command(lab, "inbox")
    assert listed.returncode == 0, listed.stderr
    number, line = next((line.split()[0], line) for line in listed.stdout.splitlines() if line.endswith("it works"))
    assert "ops@nightscan.example" in line
    printed = command(lab, "inbox", number).stdout
    assert "X-RcptTo: ops@nightscan.example" in printed
    assert command(lab, "inbox", "999").stderr.startswith('error: no message "999": the inbox has ')


def test_mail_without_tls_or_with_a_wrong_password_is_refused(env: dict[str, str]) -> None:
    with pytest.raises(smtplib.SMTPException, match="STARTTLS"):
        send(env, "in the clear")
    with pytest.raises(smtplib.SMTPAuthenticationError):
        send(env, "wrong", "wrong")


def test_environment_sh_gives_a_shell_the_same_variables(lab: Lab, env: dict[str, str]) -> None:
    file = lab.folder / "environment.sh"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    script = f'. "{file}" && "{sys.executable}" -c "import json, os; print(json.dumps(dict(os.environ)))"'
    shell = subprocess.run(
        ["sh", "-c", script], capture_output=True, text=True, check=True, env={"PATH": os.environ["PATH"]}
    )
    seen = json.loads(shell.stdout)
    assert {name: seen.get(name) for name in env} == env
    assert command(lab, "environment").stdout == file.read_text()


def test_secrets_are_strong_and_only_the_owners(lab: Lab, env: dict[str, str]) -> None:
    secrets = [
        env[name] for name in ("SECRET_KEY", "CSRF_SECRET_KEY", "JWT_SECRET_KEY", "DB_PASSWORD", "REDIS_PASSWORD")
    ]
    assert len(set(secrets)) == len(secrets)
    assert min(map(len, secrets)) >= 32
    holders = [
        path for path in lab.folder.rglob("*") if path.is_file() and not path.is_symlink() and _holds(path, secrets)
    ]
    assert {path.name for path in holders} >= {
        ".env",
        "production.json",
        "lab.json",
        "environment.sh",
        "processes.json",
    } - {"lab.json"}
    readable = [path for path in holders if path.stat().st_mode & 0o077 and _reachable(path, lab.folder)]
    assert readable == []


def _holds(path: Path, secrets: list[str]) -> bool:
    content = path.read_bytes()
    return any(secret.encode() in content for secret in secrets)


def _reachable(path: Path, top: Path) -> bool:
    """Whether others may pass through every folder between TOP and PATH."""
    return all(parent.stat().st_mode & 0o001 for parent in path.parents if parent.is_relative_to(top))


def test_no_secret_stands_in_a_command_line(lab: Lab, env: dict[str, str]) -> None:
    secrets = [value for name, value in env.items() if "PASSWORD" in name or "SECRET" in name]
    lines = [path.read_bytes().decode(errors="replace") for path in Path("/proc").glob("[0-9]*/cmdline")]
    assert not [line for line in lines if any(secret in line for secret in secrets)]


def test_the_machines_own_postgresql_and_the_wheels_are_both_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    binaries.postgresql.cache_clear()
    try:
        assert (binaries.postgresql() / "initdb").is_file()
        binaries.postgresql.cache_clear()
        monkeypatch.setenv("LAB_POSTGRESQL_BINDIR", str(tmp_path))
        assert binaries.postgresql() == tmp_path
    finally:
        binaries.postgresql.cache_clear()

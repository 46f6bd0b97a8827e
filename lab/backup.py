"""A real backup of the lab's system: dump, RDB, files, configuration, a manifest with checksums; also in the S3 bucket."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from lab import binaries
from lab.servers.postgresql import DATABASE, ROLE
from lab.servers.redis import Cache
from lab.servers.s3 import BUCKET, REGION, Storage
from lab.site import HOST, LabError, Site, write_private

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

FRESH = timedelta(hours=12)


def ensure(site: Site) -> bool:
    """Make and upload a backup, unless there is a fresh one; whether it was made."""
    newest = max((site.home / "backups").glob("*/manifest.json"), default=None)
    if newest is not None:
        made = datetime.fromisoformat(json.loads(newest.read_text())["created"])
        if datetime.now(UTC) - made < FRESH:
            return False
    make(site)
    return True


def make(site: Site, moment: datetime | None = None) -> Path:
    """Back up everything into `backups/YYYYMMDD`, upload it, and return the folder; MOMENT is what it says of its time."""
    created = moment or datetime.now(UTC)
    folder = site.home / "backups" / created.strftime("%Y%m%d")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o750, parents=True)
    _dump_database(site, folder / "database.sql.gz")
    _dump_cache(site, folder / "redis.rdb")
    with tarfile.open(folder / "app_files.tar.gz", "w:gz", compresslevel=1) as archive:
        for name in ("uploads", "models"):
            archive.add(site.home / name, name)
    shutil.copytree(site.home / "config", folder / "config")
    _write_manifest(site, folder, created)
    upload(site, folder)
    return folder


def upload(site: Site, folder: Path) -> None:
    """Copy a backup to the bucket, the manifest last: where it is, everything is."""
    client = s3(site)
    for path in [*sorted(_files(folder), key=lambda path: path.name == "manifest.json")]:
        client.upload_file(str(path), BUCKET, f"{folder.name}/{path.relative_to(folder)}")


def s3(site: Site) -> S3Client:
    """A client past the fault proxy, to prepare or to look."""
    # Late: this import costs as much as a server's start.
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=f"http://{HOST}:{site.port('storage')}",
        region_name=REGION,
        aws_access_key_id=Storage(site).access_key,
        aws_secret_access_key=site.secret("storage"),
    )


def _dump_database(site: Site, target: Path) -> None:
    command = [
        str(binaries.postgresql() / "pg_dump"),
        "-h",
        HOST,
        "-p",
        str(site.port("database")),
        "-U",
        ROLE,
        DATABASE,
    ]
    environment = {**os.environ, "PGPASSWORD": site.secret("database")}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as dump:
        assert dump.stdout is not None and dump.stderr is not None
        with gzip.open(target, "wb", compresslevel=6) as file:
            shutil.copyfileobj(dump.stdout, file)
        errors = dump.stderr.read().decode()
    if dump.returncode != 0:
        raise LabError(f"pg_dump failed with status {dump.returncode}\n{errors}")


def _dump_cache(site: Site, target: Path) -> None:
    cache = Cache(site)
    with cache.connect() as client:
        client.save()
    shutil.copyfile(cache.data / "dump.rdb", target)


def _write_manifest(site: Site, folder: Path, created: datetime) -> None:
    files = {
        str(path.relative_to(folder)): {
            "size": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in _files(folder)
    }
    manifest = {"version": 1, "created": created.isoformat(), "release": site.state.release, "files": files}
    write_private(folder / "manifest.json", json.dumps(manifest, indent=2) + "\n", mode=0o640)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())

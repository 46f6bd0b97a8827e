"""What can be wrong with the backups, on the machine and off-site."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from lab import backup
from lab.faults import fault
from lab.lab import Lab
from lab.servers.s3 import BUCKET

HERE = ["storage/freshness::recent_backup_is_good"]
OFF_SITE = ["storage/freshness::recent_backup_is_off_site"]


@fault(
    "storage-stopped",
    service="storage",
    fails=["storage/availability::bucket_is_reachable"],
    blocks=OFF_SITE,
    root="storage/availability::bucket_is_reachable",
)
def stopped(lab: Lab) -> None:
    """The S3 server does not run."""
    lab.stop_process("storage")


@fault(
    "storage-refuses",
    service="storage",
    fails=["storage/availability::bucket_is_reachable"],
    blocks=OFF_SITE,
    root="storage/availability::bucket_is_reachable",
    outcome="unmeasured",
)
def refuses(lab: Lab) -> None:
    """The key to the storage was rotated, and the checks have the old one: what they cannot see is not green."""
    lab.change_setting("probes.storage.secret_key", "of-last-year-0123456789")


@fault(
    "storage-name-unknown",
    service="storage",
    fails=["storage/availability::bucket_is_reachable"],
    blocks=OFF_SITE,
    root="storage/availability::bucket_is_reachable",
    outcome="person",
)
def name_unknown(lab: Lab) -> None:
    """The name of the S3 server does not resolve any more: the checks are given one that no name server knows."""
    lab.change_setting("probes.storage.endpoint_url", "http://storage.nightscan.invalid:9000")


@fault("backup-missing", service="storage", fails=HERE, outcome="person")
def missing(lab: Lab) -> None:
    """The newest backup did not finish: it has no manifest."""
    lab.remove_file(newest(lab) / "manifest.json")


@fault("backup-old", service="storage", fails=HERE, outcome="person")
def old(lab: Lab) -> None:
    """Backing up stopped three days ago."""
    file = newest(lab) / "manifest.json"
    manifest = json.loads(file.read_text())
    manifest["created"] = (datetime.now(UTC) - timedelta(days=3)).isoformat()
    lab.replace_file(file, json.dumps(manifest))


@fault("backup-empty", service="storage", fails=HERE, outcome="person")
def empty(lab: Lab) -> None:
    """The dump failed behind `| gzip`: an empty file was written, and recorded as what it should be."""
    folder = newest(lab)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["database.sql.gz"]["size"] = 0
    lab.replace_file(folder / "database.sql.gz", b"")
    lab.replace_file(folder / "manifest.json", json.dumps(manifest))


@fault("backup-damaged", service="storage", fails=HERE, outcome="person")
def damaged(lab: Lab) -> None:
    """One byte of the dump is not what was written."""
    file = newest(lab) / "database.sql.gz"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    lab.replace_file(file, bytes(content))


@fault("backup-incomplete", service="storage", fails=HERE, outcome="person")
def incomplete(lab: Lab) -> None:
    """The backup holds no dump of the database, and says so itself."""
    file = newest(lab) / "manifest.json"
    manifest = json.loads(file.read_text())
    del manifest["files"]["database.sql.gz"]
    lab.replace_file(file, json.dumps(manifest))


@fault("backup-shrunk", service="storage", fails=HERE, outcome="person")
def shrunk(lab: Lab) -> None:
    """The backup before the newest was ten times as large."""
    folder = newest(lab)
    manifest = json.loads((folder / "manifest.json").read_text())
    for written in manifest["files"].values():
        written["size"] *= 10
    lab.replace_file(folder.with_name("20200101") / "manifest.json", json.dumps(manifest))


@fault("backup-not-off-site", service="storage", fails=OFF_SITE, outcome="person")
def not_off_site(lab: Lab) -> None:
    """The dump was never uploaded."""
    backup.s3(lab.site).delete_object(Bucket=BUCKET, Key=f"{newest(lab).name}/database.sql.gz")


@not_off_site.heal
def upload(lab: Lab) -> None:
    """Upload the backup again."""
    backup.upload(lab.site, newest(lab))


def newest(lab: Lab) -> Path:
    """The folder of the newest backup."""
    return max(file.parent for file in (lab.site.home / "backups").glob("*/manifest.json"))

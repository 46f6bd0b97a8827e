"""What can be wrong with the backups, on the machine and off-site."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from lab import backup
from lab.backup import newest
from lab.faults import fault
from lab.lab import Lab
from lab.servers.s3 import BUCKET

HERE = ["storage/freshness::recent_backup_is_good"]
OFF_SITE = ["storage/freshness::recent_backup_is_off_site"]
RESTORED = ["storage/freshness::a_backup_was_restored_lately"]
DUMP, FILES = "database/toc.dat", "files.tar.zst"


@fault(
    "storage-stopped",
    service="storage",
    fails=["storage/availability::bucket_is_reachable"],
    blocks=[*OFF_SITE, *RESTORED],
    root="storage/availability::bucket_is_reachable",
)
def stopped(lab: Lab) -> None:
    """The S3 server does not run."""
    lab.stop_process("storage")


@fault(
    "storage-refuses",
    service="storage",
    fails=["storage/availability::bucket_is_reachable"],
    blocks=[*OFF_SITE, *RESTORED],
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
    blocks=[*OFF_SITE, *RESTORED],
    root="storage/availability::bucket_is_reachable",
    outcome="person",
)
def name_unknown(lab: Lab) -> None:
    """The name of the S3 server does not resolve any more: the checks are given one that no name server knows."""
    lab.change_setting("probes.storage.endpoint_url", "http://storage.nightscan.invalid:9000")


@fault("backup-missing", service="storage", fails=HERE)
def missing(lab: Lab) -> None:
    """No backup ever finished: none has a manifest."""
    for manifest in (lab.site.home / "backups").glob("*/manifest.json"):
        lab.remove_file(manifest)


@fault("backup-old", service="storage", fails=HERE)
def old(lab: Lab) -> None:
    """Backing up stopped three days ago."""
    change(lab, lambda told: told.update(created=days_ago(3)))


@fault("backup-empty", service="storage", fails=HERE)
def empty(lab: Lab) -> None:
    """The dump failed behind `| gzip`: an empty file was written, and recorded as what it should be."""
    lab.replace_file(newest(lab.site) / DUMP, b"")
    change(lab, lambda told: told["stored"][DUMP].update(size=0))


@fault("backup-damaged", service="storage", fails=HERE)
def damaged(lab: Lab) -> None:
    """One byte of the dump is not what was written."""
    file = newest(lab.site) / DUMP
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    lab.replace_file(file, bytes(content))


@fault("backup-incomplete", service="storage", fails=HERE)
def incomplete(lab: Lab) -> None:
    """The backup holds no dump of the database, and says so itself."""

    def without(told: dict[str, Any]) -> None:
        told["database"] = None
        told["stored"] = {name: one for name, one in told["stored"].items() if not name.startswith("database/")}

    change(lab, without)


@fault("backup-shrunk", service="storage", fails=HERE, outcome="still-failing")
def shrunk(lab: Lab) -> None:
    """The backups before the newest were ten times as large."""
    folder = newest(lab.site)
    manifest = json.loads((folder / "manifest.json").read_text())
    for written in manifest["stored"].values():
        written["size"] *= 10
    moment = datetime.fromisoformat(manifest["created"])
    for seconds in range(1, 6):
        manifest["id"] = f"{moment - timedelta(seconds=seconds):%Y%m%dT%H%M%SZ}"
        lab.replace_file(folder.with_name(manifest["id"]) / "manifest.json", json.dumps(manifest))


@fault("backup-of-the-future", service="storage", fails=HERE, outcome="still-failing")
def of_the_future(lab: Lab) -> None:
    """A backup was made while the clock of the machine was years ahead."""
    folder = newest(lab.site)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest |= {
        "id": "20990101T000000Z",
        "created": "2099-01-01T00:00:00.000Z",
        "finished": "2099-01-01T00:01:00.000Z",
    }
    lab.replace_file(folder.with_name(manifest["id"]) / "manifest.json", json.dumps(manifest))
    lab.replace_file(folder.with_name(manifest["id"]) / "verified.json", (folder / "verified.json").read_text())


@fault("backup-unverified", service="storage", fails=HERE)
def unverified(lab: Lab) -> None:
    """Nobody has read the newest backup back, which was made three hours ago."""
    lab.remove_file(newest(lab.site) / "verified.json")
    change(lab, lambda told: told.update(created=days_ago(4 / 24), finished=days_ago(3 / 24)))


@fault("backup-refuted", service="storage", fails=HERE)
def refuted(lab: Lab) -> None:
    """Somebody has just read the newest backup back, and its dump is none; it looks as good as the one before."""
    folder = newest(lab.site)
    manifest = json.loads((folder / "manifest.json").read_text())
    again = f"{datetime.fromisoformat(manifest['created']) + timedelta(seconds=1):%Y%m%dT%H%M%SZ}"
    for file in folder.rglob("*"):
        if file.is_file() and file.name not in ("manifest.json", "verified.json"):
            lab.replace_file(folder.with_name(again) / file.relative_to(folder), file.read_bytes())
    lab.replace_file(folder.with_name(again) / "refuted.json", json.dumps({"reasons": ["not-a-dump"]}))
    lab.replace_file(folder.with_name(again) / "manifest.json", json.dumps({**manifest, "id": again}))


@fault("backup-files-gone", service="storage", fails=HERE)
def files_gone(lab: Lab) -> None:
    """Somebody tidied up, and removed the earlier backup that holds files which did not change since."""

    def elsewhere(told: dict[str, Any]) -> None:
        for one in told["files"].values():
            one["backup"] = "20200101T000000Z" if one["backup"] else ""

    change(lab, elsewhere)


@fault("backup-files-emptied", service="storage", fails=HERE)
def files_emptied(lab: Lab) -> None:
    """A full disk left nothing of the archive in an earlier backup, which holds files that did not change since."""
    folder = newest(lab.site)
    manifest = json.loads((folder / "manifest.json").read_text())
    earlier = f"{datetime.fromisoformat(manifest['created']) - timedelta(seconds=1):%Y%m%dT%H%M%SZ}"
    for one in manifest["files"].values():
        one["backup"] = one["backup"] and earlier
    of_it = manifest | {"id": earlier, "listed": {**manifest["listed"], "needs": []}}
    lab.replace_file(folder.with_name(earlier) / FILES, b"")
    lab.replace_file(folder.with_name(earlier) / "manifest.json", json.dumps(of_it))
    manifest["listed"]["needs"] = [earlier]
    lab.replace_file(folder / "manifest.json", json.dumps(manifest))


@fault("backup-not-off-site", service="storage", fails=OFF_SITE)
def not_off_site(lab: Lab) -> None:
    """The dump was never uploaded."""
    backup.s3(lab.site).delete_object(Bucket=BUCKET, Key=f"{newest(lab.site).name}/{DUMP}")


@not_off_site.heal
def upload(lab: Lab) -> None:
    """Upload all backups again."""
    backup.upload(lab.site)


@fault("backup-off-site-damaged", service="storage", fails=OFF_SITE)
def off_site_damaged(lab: Lab) -> None:
    """The dump in the bucket is as large as it was, and another."""
    size = (newest(lab.site) / DUMP).stat().st_size
    backup.s3(lab.site).put_object(Bucket=BUCKET, Key=f"{newest(lab.site).name}/{DUMP}", Body=b"x" * size)


@off_site_damaged.heal
def upload_again(lab: Lab) -> None:
    """Upload all backups again."""
    backup.upload(lab.site)


@fault("backup-never-restored", service="storage", fails=RESTORED, outcome="person")
def never_restored(lab: Lab) -> None:
    """The last drill was four months ago."""
    for manifest in (lab.site.home / "backups").glob("*/manifest.json"):
        backup.restored(lab.site, manifest.parent.name, datetime.now(UTC) - timedelta(days=120))


@never_restored.heal
def restored(lab: Lab) -> None:
    """There was one just now."""
    backup.restored(lab.site, newest(lab.site).name, datetime.now(UTC))


def change(lab: Lab, edit: Callable[[dict[str, Any]], object]) -> None:
    """EDIT what the manifest of the newest backup says."""
    file = newest(lab.site) / "manifest.json"
    manifest = json.loads(file.read_text())
    edit(manifest)
    lab.replace_file(file, json.dumps(manifest))


def days_ago(days: float) -> str:
    """The moment DAYS ago."""
    return (datetime.now(UTC) - timedelta(days=days)).isoformat()

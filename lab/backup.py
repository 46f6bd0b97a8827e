"""A real backup of the lab's system, made by the engine as `runbook backup` makes one; here and in the S3 bucket."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from lab import environment
from lab.servers import REPOSITORY
from lab.servers.s3 import BUCKET, REGION, Storage
from lab.site import HOST, LabError, Site

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from pytest_runbook.backup.manifest import Manifest
    from pytest_runbook.settings import Settings

FRESH = timedelta(hours=12)
OFF_SITE = "s3"
"""The destination that is what is left when the machine is not."""


def ensure(site: Site) -> bool:
    """Make and upload a backup, unless there is a fresh one; whether it was made."""
    last = max((site.home / "backups").glob("*/manifest.json"), default=None)
    if last is not None:
        made = datetime.fromisoformat(json.loads(last.read_text())["created"])
        if datetime.now(UTC) - made < FRESH:
            return False
    manifest = make(site)
    restored(site, manifest.id, datetime.now(UTC))
    return True


def restored(site: Site, name: str, moment: datetime) -> None:
    """Note off-site that the backup NAME was restored at MOMENT: a lab has a past, in which there was a drill."""
    note = {"at": moment.isoformat(), "verdict": "proven", "by": "the past that the lab makes up"}
    s3(site).put_object(Bucket=BUCKET, Key=f"{name}/restored.json", Body=json.dumps(note).encode())


def make(site: Site, moment: datetime | None = None) -> Manifest:
    """Back everything up, here and to the bucket, and read both back; MOMENT is what it says of its time."""
    # Late: these imports take as long as a server's start.
    from pytest_runbook.backup.everything import backup
    from pytest_runbook.errors import BackupError

    try:
        made = backup(settings(site), REPOSITORY, prune=False, moment=moment)
    except BackupError as error:
        raise LabError(f"no backup could be made: {error}") from None
    if not made.good:
        faults = [str(fault) for verdict in made.verdicts for fault in verdict.faults]
        raise LabError("\n".join(["the backup is not good", *made.problems, *faults]))
    return made.manifest


def upload(site: Site) -> None:
    """Bring all backups to the bucket again, whatever is there of them, and read the newest back."""
    from pytest_runbook.backup import closing, verify
    from pytest_runbook.backup.copying import copy
    from pytest_runbook.backup.making import local
    from pytest_runbook.backup.progress import Progress

    known = settings(site)
    source = local(known, REPOSITORY)
    with closing(OFF_SITE, known, REPOSITORY) as target:
        for name in source.backups():
            copy(source, target, name, Progress())
        if faults := verify(target, newest(site).name).faults:
            raise LabError(f"the backup in the bucket is not good: {faults[0]}")


def newest(site: Site) -> Path:
    """The folder of the newest backup."""
    return max(file.parent for file in (site.home / "backups").glob("*/manifest.json"))


def settings(site: Site, more: Mapping[str, str] | None = None) -> Settings:
    """The settings that a run of checks has here; MORE are further variables."""
    from pytest_runbook.settings import load

    variables = {**environment.environment(site), **(more or {})}
    return load(REPOSITORY, file=Path("nightscan.toml"), environ=variables).settings


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

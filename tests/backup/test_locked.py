"""Retention meets what a bucket keeps by an object lock, on the real server: it is respected, told, and removed in its time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from pytest_runbook import clock
from pytest_runbook.backup import closing, retention
from pytest_runbook.backup.destinations import Destination
from pytest_runbook.backup.filelist import File
from pytest_runbook.backup.manifest import Manifest
from pytest_runbook.settings.backup import Retention

from lab import backup
from tests.backup.conftest import Backups
from tests.probes.databases import until

RULES = Retention(days=30, verified=1)


@dataclass
class Locked:
    """A bucket that keeps objects for a time, with three backups: one of today, two that are too old."""

    client: Any
    bucket: str
    prefix: str
    place: Destination
    new: str
    old: str
    oldest: str

    def key(self, name: str, of: str = "") -> str:
        return f"{self.prefix}/{of or self.oldest}/{name}"

    def keep(self, name: str, end: datetime, of: str = "") -> None:
        """Keep the object NAME of the oldest backup, or of the one given, until END."""
        told = {"Mode": "COMPLIANCE", "RetainUntilDate": end}
        self.client.put_object_retention(Bucket=self.bucket, Key=self.key(name, of), Retention=told)

    def hold(self, name: str, status: str) -> None:
        self.client.put_object_legal_hold(Bucket=self.bucket, Key=self.key(name), LegalHold={"Status": status})

    def judged(self) -> dict[str, tuple[bool, str]]:
        """What retention made of each backup now."""
        found = retention.apply(self.place, RULES, clock.now())
        return {one.id: (one.removed, one.why) for one in found}


@pytest.fixture
def locked(backups: Backups) -> Iterator[Locked]:
    client, bucket = backup.s3(backups.lab.site), f"locked-{backups.prefix}"
    client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    backups.more["RUNBOOK__PROBES__STORAGE__BUCKET"] = bucket
    with ExitStack() as stack:
        place = stack.enter_context(closing("s3", backups.settings(), backups.folder))
        new, oldest = (add(backups, place, days) for days in (0, 60))
        yield Locked(client, bucket, backups.prefix, place, new, add(backups, place, 40, oldest), oldest)


def add(backups: Backups, place: Destination, days: int, holder: str = "") -> str:
    """A verified backup of DAYS ago, which needs a file of HOLDER."""
    moment, system = clock.now() - timedelta(days=days), backups.settings().system
    id_ = f"{moment:%Y%m%dT%H%M%SZ}"
    files = {"uploads/a.wav": File(3, 0o644, 0.0, "", holder)} if holder else {}
    made = Manifest(id_, system.name, system.environment, clock.iso(moment), clock.iso(moment), "test", files=files)
    for name, text in (("roles.sql", "roles"), ("manifest.json", made.text())):
        path = backups.folder / "given"
        path.write_text(text)
        place.write(id_, name, path)
    place.note(id_, "verified.json", {"at": clock.iso(moment)})
    return id_


def test_what_is_kept_for_a_time_stays_whole_and_the_rest_goes(locked: Locked) -> None:
    end = clock.now() + timedelta(hours=1)
    locked.keep("roles.sql", end)
    judged = locked.judged()
    removed, why = judged[locked.oldest]
    assert not removed
    assert (
        f'could not be removed: "{locked.place.place}" keeps "{locked.oldest}/roles.sql" until {end:%Y-%m-%dT%H:%M}'
        in why
    )
    assert judged[locked.old] == (True, "older than 30 days")
    assert locked.place.backups() == [locked.oldest, locked.new]
    assert set(locked.place.names(locked.oldest)) == {"manifest.json", "roles.sql", "verified.json"}
    assert json.loads(locked.place.manifest(locked.oldest).text())["id"] == locked.oldest


def test_what_its_time_has_passed_for_goes_with_the_next_run(locked: Locked) -> None:
    locked.keep("manifest.json", clock.now() + timedelta(seconds=3))
    assert locked.judged()[locked.oldest][0] is False
    until(lambda: locked.judged().get(locked.oldest, (True, ""))[0])
    assert locked.place.backups() == [locked.new]


def test_what_a_locked_one_needs_stays_with_it(locked: Locked) -> None:
    locked.keep("roles.sql", clock.now() + timedelta(hours=1), of=locked.old)
    judged = locked.judged()
    assert judged[locked.old][0] is False
    assert judged[locked.oldest] == (False, f'"{locked.old}" needs files of it')
    assert locked.place.backups() == [locked.oldest, locked.old, locked.new]


def test_a_legal_hold_keeps_until_somebody_lifts_it(locked: Locked) -> None:
    locked.hold("verified.json", "ON")
    removed, why = locked.judged()[locked.oldest]
    assert (removed, 'keeps "' in why, "by a legal hold" in why) == (False, True, True)
    locked.hold("verified.json", "OFF")
    assert locked.judged()[locked.oldest] == (True, "older than 30 days")


def test_the_server_itself_gives_no_version_back_before_its_time(locked: Locked) -> None:
    """What we do not try, nobody else gets either."""
    locked.keep("roles.sql", clock.now() + timedelta(hours=1))
    (version,) = locked.client.list_object_versions(Bucket=locked.bucket, Prefix=locked.key("roles.sql"))["Versions"]
    with pytest.raises(locked.client.exceptions.ClientError) as refusal:
        locked.client.delete_object(Bucket=locked.bucket, Key=locked.key("roles.sql"), VersionId=version["VersionId"])
    assert refusal.value.response["Error"]["Code"] == "AccessDenied"


def test_a_bucket_with_a_rule_of_its_own_keeps_what_is_written(backups: Backups, locked: Locked) -> None:
    rule = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}}
    locked.client.put_object_lock_configuration(Bucket=locked.bucket, ObjectLockConfiguration=rule)
    older = add(backups, locked.place, 90)
    removed, why = locked.judged()[older]
    assert (removed, f'keeps "{older}/' in why) == (False, True)
    assert older in locked.place.backups()

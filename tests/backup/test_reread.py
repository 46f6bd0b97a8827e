"""Archives of earlier backups are not read back off-site every night; what is another than it was is."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from pytest_runbook import clock
from pytest_runbook.backup import closing, everything, verify
from pytest_runbook.backup.destinations import Destination
from pytest_runbook.backup.everything import Made

from tests.backup.conftest import Backups
from tests.backup.test_destinations import declared, keys


@pytest.fixture(params=["folder", "s3", "s3-encrypted"])
def place(request: pytest.FixtureRequest, backups: Backups) -> Iterator[Destination]:
    """A destination "other" with one backup."""
    backups.more |= declared(request.param, backups.folder) | keys(backups)
    if request.param.startswith("s3"):
        backups.more["RUNBOOK__BACKUP__DESTINATIONS__OTHER__PREFIX"] = f"{backups.prefix}/other"
    assert made(backups).good
    with closing("other", backups.settings(), backups.folder, tries=1) as opened:
        yield opened


def made(backups: Backups) -> Made:
    return everything.backup(backups.settings(), backups.folder, to=["other"], prune=False)


def looked(made: Made) -> list[str]:
    """How the files were read, here and there."""
    return [verdict.looked["files.tar.zst"] for verdict in made.verdicts]


def test_what_was_read_lately_is_not_read_again(place: Destination, backups: Backups) -> None:
    (first,) = place.backups()
    second = made(backups)
    assert second.good, (second.problems, second.verdicts)
    assert second.manifest.needs == {first}
    here, there = looked(second)
    total = len(second.manifest.files or ())
    assert here == f"{total} files read, of this backup and 1 earlier ones"
    stored = sum(file.backup == first for file in (second.manifest.files or {}).values())
    assert there == (
        f"{total - stored} files read, of this backup and 0 earlier ones; "
        f"{stored} in {first} not again: they were read lately, and are there as they were"
    )
    by_hand = verify(place, second.manifest.id)
    assert by_hand.good
    assert by_hand.looked["files.tar.zst"] == here


def test_what_is_another_than_it_was_is_read(place: Destination, backups: Backups) -> None:
    (first,) = place.backups()
    backups.folder.joinpath("damaged").write_bytes(b"x" * place.names(first)["files.tar.zst"])
    place.write(first, "files.tar.zst", backups.folder / "damaged", anew=True)
    verdict = made(backups).verdicts[1]
    assert not verdict.good
    assert f"{first}/files.tar.zst" in {fault.where for fault in verdict.faults}
    assert place.noted(first, "verified.json") is None


@pytest.mark.parametrize("place", ["folder"], indirect=True)
def test_after_some_days_it_is_read_again_and_noted(place: Destination, backups: Backups) -> None:
    (first,) = place.backups()
    note = place.noted(first, "verified.json")
    assert note
    place.note(first, "verified.json", {**note, "archive": {**note["archive"], "at": "2026-01-01T00:00:00.000Z"}})
    second = made(backups)
    assert "and 1 earlier ones" in looked(second)[1]
    again = place.noted(first, "verified.json")
    assert again
    assert clock.parse(again["archive"]["at"]) > clock.parse(second.manifest.created)
    assert again["at"] == note["at"], "all of it was read back only once"
    backups.more["RUNBOOK__BACKUP__REREAD"] = json.dumps(0)
    assert "and 1 earlier ones" in looked(made(backups))[1]

"""Which backups go: old ones, and never one that somebody may need."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pytest_runbook import clock
from pytest_runbook.backup import belonging, retention
from pytest_runbook.backup.destinations.folder import Folder, FolderSettings
from pytest_runbook.backup.filelist import File
from pytest_runbook.backup.manifest import Manifest
from pytest_runbook.errors import BackupError
from pytest_runbook.settings import Settings
from pytest_runbook.settings.backup import Retention
from pytest_runbook.settings.schema import System

NOW = datetime(2026, 6, 30, tzinfo=UTC)
RULES = Retention(days=30, verified=2)
SETTINGS = Settings().model_copy(update={"system": System(name="shop", environment="production")})


class Backups:
    """A folder of backups, told by their age in days."""

    def __init__(self, folder: Path) -> None:
        self.place = Folder("local", FolderSettings(kind="folder", path=folder), SETTINGS, folder)
        self.folder = folder

    def add(
        self,
        days: int,
        *,
        verified: bool = True,
        needs: tuple[int, ...] = (),
        staging: bool = False,
        safety: bool = False,
    ) -> str:
        moment = NOW - timedelta(days=days)
        environment = "staging" if staging else "production"
        files = {f"uploads/{number}": File(1, 0o600, 0.0, "", self.id(number)) for number in needs}
        told = Manifest(self.id(days), "shop", environment, clock.iso(moment), clock.iso(moment), "test", files=files)
        told = replace(told, safety=safety)
        path = self.folder / told.id
        path.mkdir()
        (path / "manifest.json").write_text(told.text())
        (path / "roles.sql").write_text("x")
        if verified:
            (path / "verified.json").write_text(json.dumps({"at": clock.iso(moment)}))
        return told.id

    def drill(self, days: int, verdict: str, ago: int = 0) -> None:
        at = clock.iso(NOW - timedelta(days=ago))
        self.place.note(self.id(days), "restored.json", {"at": at, "verdict": verdict})

    def id(self, days: int) -> str:
        return f"{NOW - timedelta(days=days):%Y%m%dT%H%M%SZ}"

    def removed(self, rules: Retention = RULES) -> list[str]:
        return [one.id for one in retention.judge(self.place, rules, NOW) if one.removed]


@pytest.fixture
def backups(tmp_path: Path) -> Backups:
    return Backups(tmp_path)


def test_old_ones_go(backups: Backups) -> None:
    for days in (1, 20, 29, 31, 40):
        backups.add(days)
    assert backups.removed() == [backups.id(31), backups.id(40)]


def test_nothing_goes_by_looking(backups: Backups) -> None:
    for days in (1, 2, 40):
        backups.add(days)
    assert backups.removed()
    assert len(backups.place.backups()) == 3
    done = retention.apply(backups.place, RULES, NOW)
    assert [one.id for one in done if one.removed] == [backups.id(40)]
    assert backups.place.backups() == [backups.id(2), backups.id(1)]
    assert not (backups.folder / backups.id(40)).exists()


def test_the_newest_verified_stay_however_old(backups: Backups) -> None:
    """Backing up has been failing for months: the guide's `find -mtime +30 -delete` would leave nothing."""
    for days in (100, 110, 120):
        backups.add(days)
    assert backups.removed() == [backups.id(120)]


def test_nothing_goes_while_the_newest_is_not_verified(backups: Backups) -> None:
    for days in (40, 50, 60):
        backups.add(days)
    backups.add(1, verified=False)
    judged = retention.judge(backups.place, RULES, NOW)
    assert not [one for one in judged if one.removed]
    assert {one.why for one in judged} == {f'the newest, "{backups.id(1)}", is not verified'}


def test_one_that_was_never_verified_does_not_count_and_goes_when_it_is_old(backups: Backups) -> None:
    for days, verified in ((1, True), (40, True), (45, False), (50, True)):
        backups.add(days, verified=verified)
    assert backups.removed() == [backups.id(45), backups.id(50)]


def test_one_whose_files_another_needs_stays(backups: Backups) -> None:
    for days, needs in ((1, (100,)), (2, ()), (90, ()), (100, ()), (110, ())):
        backups.add(days, needs=needs)
    assert backups.removed() == [backups.id(90), backups.id(110)]
    why = {one.id: one.why for one in retention.judge(backups.place, RULES, NOW)}
    assert why[backups.id(100)] == f'"{backups.id(1)}" needs files of it'


def test_one_that_only_a_removed_one_needs_goes_too(backups: Backups) -> None:
    for days, needs in ((1, ()), (2, ()), (90, (100,)), (100, ())):
        backups.add(days, needs=needs)
    assert backups.removed() == [backups.id(90), backups.id(100)]


def test_one_that_cannot_be_read_stays_for_a_person(backups: Backups) -> None:
    for days in (1, 2, 100):
        backups.add(days)
    (backups.folder / backups.id(100) / "manifest.json").write_text("{")
    assert backups.removed() == []


def test_what_one_that_cannot_be_read_may_need_stays_too(backups: Backups) -> None:
    for days in (1, 2, 10, 35, 40):
        backups.add(days, needs=(35,) if days == 10 else ())
    (backups.folder / backups.id(10) / "manifest.json").write_text("{")
    assert backups.removed() == []
    why = {one.id: one.why for one in retention.judge(backups.place, RULES, NOW)}
    assert why[backups.id(35)] == f'"{backups.id(10)}" cannot be read, and may need files of it'


def test_backups_of_another_environment_neither_go_nor_count(backups: Backups) -> None:
    for days in (3, 4, 50, 60):
        backups.add(days)
    for days in (1, 2, 100):
        backups.add(days, verified=days != 1, staging=True)
    assert backups.removed() == [backups.id(50), backups.id(60)]
    why = {one.id: one.why for one in retention.judge(backups.place, RULES, NOW)}
    assert why[backups.id(100)] == "it is of another system or environment"
    assert belonging.newest(backups.place, 3) == [backups.id(50), backups.id(4), backups.id(3)]
    for days in (3, 4):
        backups.place.remove(backups.id(days))
    assert backups.removed() == [], "the newest two verified ones are ours"


def test_the_newest_that_a_drill_has_proved_stays_with_what_it_needs(backups: Backups) -> None:
    """Drills are monthly, and so is retention: what says that a backup can be restored would go before its time."""
    for days, needs in ((1, ()), (2, ()), (3, ()), (31, ()), (40, (60,)), (50, ()), (60, ())):
        backups.add(days, needs=needs)
    for days, verdict in ((31, "failed"), (40, "proven"), (50, "proven")):
        backups.drill(days, verdict)
    assert backups.removed() == [backups.id(31), backups.id(50)]
    why = {one.id: one.why for one in retention.judge(backups.place, RULES, NOW)}
    assert why[backups.id(40)] == "the newest that a drill has proved"
    assert why[backups.id(60)] == f'"{backups.id(40)}" needs files of it'


def test_the_last_proof_stays_also_of_an_older_backup_and_a_refuted_one_proves_nothing(backups: Backups) -> None:
    for days in (1, 2, 31, 50):
        backups.add(days)
    backups.add(40, verified=False)
    for days, ago in ((31, 5), (50, 1), (40, 0)):
        backups.drill(days, "proven", ago)
    assert backups.removed() == [backups.id(31), backups.id(40)]


def test_a_clock_that_is_far_ahead_removes_nothing_by_itself(backups: Backups) -> None:
    """All are old at once: neither that night nor in the next ones, until as many newer ones are there."""
    for days in range(45, 55):
        backups.add(days)
    for days in (2, 1):
        backups.add(days)
        done = retention.apply(backups.place, RULES, NOW, most=retention.BY_ITSELF)
        assert not [one for one in done if one.removed]
        assert {one.why for one in done if one.id < backups.id(45)} == {"too many would go at once"}
    for days in range(3, 11):
        backups.add(days)
    done = retention.apply(backups.place, RULES, NOW, most=retention.BY_ITSELF)
    assert len([one for one in done if one.removed]) == 10


def test_many_that_were_made_in_one_day_grow_old_together_and_go(backups: Backups) -> None:
    for days in (1, 2, 3, 29, 31, 32, 33, 34, 35, 36, 37):
        backups.add(days)
    assert len([one for one in retention.apply(backups.place, RULES, NOW, most=0.5) if one.removed]) == 7
    backups.add(45)
    assert [one.id for one in retention.apply(backups.place, RULES, NOW, most=0.5) if one.removed] == [backups.id(45)]


def test_who_asks_for_it_removes_all_that_is_old(backups: Backups) -> None:
    for days in (1, 2, 40, 41, 42, 43):
        backups.add(days)
    assert len([one for one in retention.apply(backups.place, RULES, NOW) if one.removed]) == 4


@pytest.mark.parametrize("verified", [True, False])
def test_one_of_what_a_restore_replaced_neither_stops_it_nor_outlives_the_others(
    backups: Backups, verified: bool
) -> None:
    """Several attempts at a restore after an accident: the last good backups are older, and stay."""
    for days in (31, 32, 33):
        backups.add(days, safety=True, verified=verified)
    for days in (35, 40, 50):
        backups.add(days)
    assert backups.removed() == [backups.id(31), backups.id(32), backups.id(33), backups.id(50)]
    assert belonging.newest(backups.place) == [backups.id(35)]
    for days in (35, 40):
        backups.place.remove(backups.id(days))
    assert (backups.id(31) in backups.removed()) != verified, "they count when there is none else"


def test_no_backups_at_all(backups: Backups) -> None:
    assert retention.judge(backups.place, RULES, NOW) == []


def test_a_refusal_is_told_and_the_others_still_go(backups: Backups, monkeypatch: pytest.MonkeyPatch) -> None:
    for days in (1, 2, 40, 50):
        backups.add(days)
    remove = Folder.remove

    def refuse(self: Folder, id: str) -> None:
        if id == backups.id(50):
            raise BackupError("kept until 2027", reason="locked")
        remove(self, id)

    monkeypatch.setattr(Folder, "remove", refuse)
    done = {one.id: one for one in retention.apply(backups.place, RULES, NOW)}
    assert (done[backups.id(50)].removed, done[backups.id(50)].why) == (False, "could not be removed: kept until 2027")
    assert done[backups.id(40)].removed


def test_a_link_is_not_followed_when_something_is_removed(backups: Backups, tmp_path: Path) -> None:
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.mkdir()
    (outside / "manifest.json").write_text(replace_id(backups))
    (backups.folder / backups.id(50)).symlink_to(outside)
    with pytest.raises(BackupError, match="is left alone"):
        backups.place.remove(backups.id(50))
    assert (outside / "manifest.json").exists()


def replace_id(backups: Backups) -> str:
    told = Manifest(backups.id(50), "shop", "production", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "test")
    return replace(told, release="1").text()


def test_one_of_the_future_is_not_the_newest_and_stays_for_a_person(backups: Backups) -> None:
    """One night the clock was ahead: the backup of that night neither hides the others nor keeps retention from its work."""
    for days, verified in ((-1000, True), (-999, False), (1, True), (40, True), (50, True)):
        backups.add(days, verified=verified)
    assert backups.removed() == [backups.id(50)], "the newest two verified ones are of the past"
    why = {one.id: one.why for one in retention.judge(backups.place, RULES, NOW)}
    assert why[backups.id(-1000)].startswith("it is of the future: a clock was wrong")
    assert why[backups.id(40)] == "one of the newest 2 verified ones"


def test_what_one_of_the_future_holds_for_others_is_told(backups: Backups) -> None:
    for days, needs in ((-1000, (50,)), (1, (-1000,)), (2, ()), (50, ())):
        backups.add(days, needs=needs)
    why = {one.id: one.why for one in retention.judge(backups.place, RULES, NOW)}
    assert why[backups.id(-1000)] == f'"{backups.id(1)}" needs files of it'
    assert why[backups.id(50)] == f'"{backups.id(-1000)}" needs files of it'


def test_one_of_the_future_that_cannot_be_read_stops_nothing(backups: Backups) -> None:
    for days in (-1000, 1, 2, 50):
        backups.add(days)
    (backups.folder / backups.id(-1000) / "manifest.json").write_text("{")
    why = {one.id: one.why for one in retention.judge(backups.place, RULES, NOW)}
    assert "it cannot be read, look at it: " in why[backups.id(-1000)]
    assert why[backups.id(1)] == f'"{backups.id(-1000)}" cannot be read, and may need files of it'


def test_the_newest_is_of_the_past(backups: Backups) -> None:
    moment = clock.now() + timedelta(minutes=5)
    for days in (-200_000, 1, 2):
        backups.add(days)
    assert belonging.newest(backups.place) == [backups.id(1)]
    (told,) = belonging.ahead(backups.place)
    assert told.startswith(
        f'"{backups.id(-200_000)}" in "local" is of the future, and not taken for the newest\n  hint: '
    )
    assert not belonging.is_ahead(f"{moment:%Y%m%dT%H%M%SZ}-2"), "clocks differ a little"
    assert belonging.is_ahead(f"{moment:%Y%m%dT%H%M%SZ}-2", moment - timedelta(minutes=11))

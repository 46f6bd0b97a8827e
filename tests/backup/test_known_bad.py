"""Every bad backup is caught, with the right reason, by whom it should be; good ones pass."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_runbook.backup.verdict import REASONS

from lab.knownbad.cases import Case, cases
from lab.knownbad.trying import Trial
from lab.knownbad.workshop import Workshop
from tests.backup.systems import shop

HERE = [case for case in cases() if not case.bucket]
"""Cases that need no bucket; `python -m lab.knownbad` tries those that do, and all of these on the lab."""


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    folder = tmp_path_factory.mktemp("shop")
    with shop(folder) as system:
        good = system.backup().id
        yield Trial(folder, folder / "shop.toml", {}, folder / "local" / good, tmp_path_factory.mktemp("bad"))


@pytest.fixture(scope="module")
def workshop(trial: Trial) -> Iterator[Workshop]:
    with trial.workshop() as made:
        yield made


@pytest.mark.parametrize("case", HERE, ids=lambda case: case.name)
def test_a_bad_backup_is_caught(case: Case, trial: Trial, workshop: Workshop) -> None:
    seen = trial.run(case, workshop)
    assert seen.caught, f"{case.title}: reading back said {seen.verify}, the drill {seen.verdict} {seen.drill}"


def test_an_undamaged_copy_passes(trial: Trial, workshop: Workshop) -> None:
    seen = trial.run(Case("good", "nothing is wrong", (), lambda bad: None), workshop)
    assert (seen.verify, seen.drill, seen.verdict) == ([], [], "proven")


def test_a_dump_made_anew_of_the_same_rows_passes_the_drill(trial: Trial, workshop: Workshop) -> None:
    seen = trial.run(Case("anew", "the same rows", (), lambda bad: bad.other_dump()), workshop)
    assert (seen.drill, seen.verdict) == ([], "proven")


def test_there_are_enough_of_them_and_each_has_a_reason_of_the_vocabulary() -> None:
    assert len(cases()) >= 20
    assert len({case.name for case in cases()}) == len(cases())
    assert {reason for case in cases() for reason in case.reasons} <= set(REASONS)

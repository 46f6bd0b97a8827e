"""Drills on a real system: what is whole is proven, and what is not is told."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from pytest_runbook.backup.drill.certificate import Certificate
from pytest_runbook.backup.drill.drill import Drill
from pytest_runbook.backup.manifest import Manifest

from tests.backup.systems import Shop, shop


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with shop(tmp_path_factory.mktemp("shop")) as made:
        yield made


@pytest.fixture(scope="module")
def backup(system: Shop) -> Manifest:
    return system.backup()


def drill(system: Shop, *overrides: str) -> Drill:
    return Drill(system.told(*overrides), system.folder)


def test_a_whole_backup_is_proven(system: Shop, backup: Manifest) -> None:
    said: list[str] = []
    one = Drill(system.loaded, system.folder, say=said.append)
    paper = one.run()
    assert (paper.faults, paper.trouble, paper.verdict) == ([], "", "proven")
    assert (paper.backup, paper.source) == (backup.id, "away")
    assert [proof.what for proof in paper.proofs if not proof.ok] == []
    shown = {proof.what: proof.found for proof in paper.proofs}
    assert (shown["tables"], shown["rows"], shown["keys of database 0"]) == ("4", "3250", "3 keys, 1 of them expire")
    assert shown["files, by their checksums"] == "8"
    assert {phase.outcome for phase in paper.phases} == {"done"}
    assert paper.rto and paper.rto.ok
    assert paper.rpo and paper.rpo.ok
    assert len(said) == len(paper.phases)
    assert not any(system.database.uri() in line for line in said)
    assert [*system.scratch.iterdir()] == []

    human, machine = one.publish(paper)
    assert "proven" in human.read_text()
    told = json.loads(machine.read_text())
    assert (told["verdict"], told["rto"]["ok"]) == ("proven", True)
    noted = system.place().noted(backup.id, "restored.json")
    assert noted
    assert (noted["verdict"], noted["drill"]) == ("proven", paper.id)
    assert Certificate.from_json(told).backup == backup.id

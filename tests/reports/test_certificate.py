"""The certificate of a drill as a page: it says what was proven, and nothing that came from outside becomes markup."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_runbook.backup.comparing import Proof
from pytest_runbook.backup.drill.certificate import Certificate, Phase, Target, write
from pytest_runbook.backup.verdict import Fault
from pytest_runbook.evidence.redaction import Redactor
from runbook_reports import formats

SECRET = "s3cret-of-the-drill"
MARKUP = "<script>alert(1)</script>"


def paper(**more: object) -> Certificate:
    made = Certificate("20261122T180305Z-4f1c", "Shop", "staging", "s3", "2026-11-22T18:03:05Z", "2026-11-22T18:00:00Z")
    made.phases = [Phase("fetch", "it is fetched", "2026-11-22T18:03:05Z", 1.5, "done")]
    made.proofs = [Proof("rows", "3250", "3250", ok=True), Proof("B-trees", "in order", "no amcheck", ok=None)]
    made.rto = Target("RTO", 42.0, 3600.0, "until it served")
    made.rpo = Target("RPO", 7200.0, 93600.0, "since the newest row")
    for name, value in more.items():
        setattr(made, name, value)
    return made


def page(made: Certificate, folder: Path) -> str:
    human, machine = write(made, folder / "drill", Redactor([SECRET]))
    assert machine.is_file()
    return human.read_text(encoding="utf-8")


def test_the_page_says_what_was_proven(tmp_path: Path) -> None:
    text = page(paper(), tmp_path)
    assert '<section class="verdict good">' in text
    for said in (
        "Shop can be restored from s3",
        "RTO 42.0 s",
        "RPO 2 h 0 min",
        "3250",
        "not looked at",
        "it is fetched",
    ):
        assert said in text


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({}, "proven"),
        ({"faults": [Fault("corrupt", "cache.rdb", "not what was written")]}, "failed"),
        ({"rto": Target("RTO", 2.0, 1.0, "")}, "failed"),
        ({"rpo": Target("RPO", 2.0, 1.0, "")}, "failed"),
        ({"trouble": "the storage does not answer"}, "unmeasured"),
        ({"rto": None}, "unmeasured"),
        ({"proofs": []}, "unmeasured"),
        ({"proofs": [Proof("B-trees", "", "", ok=None)]}, "unmeasured"),
    ],
)
def test_only_what_was_looked_at_is_proven(change: dict[str, object], verdict: str, tmp_path: Path) -> None:
    made = paper(**change)
    assert made.verdict == made.to_json()["verdict"] == made.note()["verdict"] == verdict
    assert f"<strong>{verdict}</strong>" in page(made, tmp_path)


def test_nothing_foreign_becomes_markup_and_no_secret_is_shown(tmp_path: Path) -> None:
    said = f"{MARKUP} {SECRET}"
    made = paper(
        system=said,
        place=said,
        checks=said,
        trouble=said,
        left_out=[said],
        faults=[Fault("corrupt", said, said)],
        proofs=[Proof(said, said, said, ok=False)],
        phases=[Phase(said, said, said, 1.0, said)],
    )
    text = page(made, tmp_path)
    assert "<script" not in text
    assert SECRET not in text
    assert SECRET not in (tmp_path / "drill" / "certificate.json").read_text(encoding="utf-8")


def test_it_is_no_report_of_a_run() -> None:
    assert "certificate" not in formats()

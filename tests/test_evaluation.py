"""The check of the models' accuracy on services that are slow or silent: it never loads them, and ends in time."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from pytest_runbook.model import Outcome, Result

from tests.looking import looked
from tests.probes.sites import Site, json_reply, serving

CHECKS = ("ml/models::accuracy", "ml/performance::prediction_latency")
LABELLED = 40
FROG = json_reply({"success": True, "prediction": {"class": "frog"}})


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """An evaluation set of one class."""
    names = [f"{number}.wav" for number in range(LABELLED)]
    for name in names:
        (tmp_path / name).write_bytes(b"RIFF")
    (tmp_path / "labels.csv").write_text("file,label\n" + "".join(f"{name},frog\n" for name in names))
    return tmp_path


async def judged(site: Site, recordings: Path, **settings: object) -> Result:
    """What the first of CHECKS, looked at together, finds of the service SITE."""
    async with serving(site) as port:
        told = {"probes.ml.url": f"http://127.0.0.1:{port}", "facts.paths.evaluation": str(recordings), **settings}
        record = await asyncio.to_thread(looked, CHECKS, told, recordings / "report")
    return next(result for result in record.results if result.check.id == CHECKS[0])


def test_recordings_are_sent_one_after_another_beside_the_latency_check_too(recordings: Path) -> None:
    site = Site({"/predict/upload": FROG}, delay=0.02)
    seen = asyncio.run(judged(site, recordings))
    assert seen.outcome == Outcome.PASSED, seen.message
    assert site.busiest == 1
    assert len(site.requests) > LABELLED


def test_of_a_large_set_as_much_is_judged_as_there_is_time_for(recordings: Path) -> None:
    site = Site({"/predict/upload": FROG}, delay=0.2)
    least = {"facts.ml.labels_least": 2, "facts.ml.evaluation_time": 2}
    seen = asyncio.run(judged(site, recordings, **least))
    assert seen.outcome == Outcome.PASSED, seen.message
    assert len(site.requests) < LABELLED

    seen = asyncio.run(judged(site, recordings, **{**least, "facts.ml.labels_least": LABELLED}))
    assert seen.outcome == Outcome.UNMEASURED
    assert "recordings were answered in 2 s, which says nothing about accuracy, 40 would" in seen.message


def test_without_an_answer_nothing_more_is_sent(recordings: Path) -> None:
    site = Site({"/predict/upload": FROG}, delay=60)
    seen = asyncio.run(judged(site, recordings, **{"probes.ml.timeout": 1}))
    assert seen.outcome == Outcome.UNMEASURED
    assert "did not answer within 1.0 s" in seen.message
    assert len(site.requests) == 2  # one of each check


def test_no_more_recordings_are_sent_than_decide(recordings: Path) -> None:
    seen = asyncio.run(judged(Site({"/predict/upload": FROG}), recordings))
    assert seen.outcome == Outcome.PASSED, seen.message
    figures = {one.name: one.value for one in seen.measurements}
    assert figures["ml.accuracy"] == 1
    assert figures["ml.accuracy_recordings"] == 39  # more than 95 % of 40

    owl = json_reply({"success": True, "prediction": {"class": "owl"}})
    seen = asyncio.run(judged(Site({"/predict/upload": owl}), recordings))
    assert seen.outcome == Outcome.FAILED
    assert "30 of 30 recordings are wrong, of 40 in the set: 30 frog taken for owl" in seen.message

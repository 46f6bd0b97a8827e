"""All reports together: found by walking, taken over from pytest's options, one's failure never another's."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
import runbook_reports
from pytest_runbook.model import RunRecord


def test_renderers_are_found_by_walking_the_folder() -> None:
    assert [renderer.NAME for renderer in runbook_reports.renderers()] == ["allure", "html", "junit", "record", "text"]


def test_a_renderer_of_another_distribution_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    (tmp_path / "their_report.py").write_text("NAME = 'theirs'\ndef render(record, folder): return []\n")
    information = tmp_path / "theirs-1.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1\n")
    (information / "entry_points.txt").write_text("[runbook_reports]\ntheirs = their_report\n")
    monkeypatch.syspath_prepend(tmp_path)
    runbook_reports.renderers.cache_clear()
    request.addfinalizer(runbook_reports.renderers.cache_clear)

    assert "theirs" in [renderer.NAME for renderer in runbook_reports.renderers()]


def test_every_report_of_each_scenario_is_written(record: RunRecord, tmp_path: Path) -> None:
    written = runbook_reports.publish(record, tmp_path)

    assert [path.name for path in written] == [
        "allure-results",
        "allurerc.json",
        "report.html",
        "junit.xml",
        "summary.txt",
        "run.json",
    ]
    assert all(path.exists() for path in written)


@pytest.mark.parametrize(
    ("only", "files"),
    [
        ((), ["run.json"]),
        (("junit",), ["junit.xml", "run.json"]),
        (("text", "html"), ["report.html", "summary.txt", "run.json"]),
    ],
    ids=["none", "one", "two"],
)
def test_only_the_reports_asked_for_are_written_and_always_the_record(
    ill: RunRecord, tmp_path: Path, only: tuple[str, ...], files: list[str]
) -> None:
    written = runbook_reports.publish(ill, tmp_path, only=only)

    assert [path.name for path in written] == files
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(files)


def test_a_report_that_cannot_be_written_costs_no_other_and_is_on_record(ill: RunRecord, tmp_path: Path) -> None:
    (tmp_path / "junit.xml").mkdir()

    written = runbook_reports.publish(ill, tmp_path)

    assert {"report.html", "run.json"} <= {path.name for path in written}
    assert ill.problems[-1].startswith('report "junit" was not written: IsADirectoryError')
    assert json.loads((tmp_path / "run.json").read_text())["problems"] == ill.problems


def test_what_else_is_wanted_is_written_before_the_record(ill: RunRecord, tmp_path: Path) -> None:
    def also(record: RunRecord) -> list[Path]:
        record.problems.append("said on the way")
        return [tmp_path / "also"]

    written = runbook_reports.publish(ill, tmp_path, also=[also])

    assert [path.name for path in written][-2:] == ["also", "run.json"]
    assert "said on the way" in json.loads((tmp_path / "run.json").read_text())["problems"]


CONFTEST = """
import sys
from pathlib import Path
import pytest, runbook_reports
from pytest_runbook.model import RunRecord

@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    if not hasattr(config, "workerinput"):
        config.writers = runbook_reports.adopt(config)

def pytest_sessionfinish(session):
    if not hasattr(session.config, "workerinput"):
        import json
        record = RunRecord.from_json(json.loads(Path("record.json").read_text()))
        print(runbook_reports.publish(record, Path("run"), also=session.config.writers))
        assert not record.problems[1:], record.problems
"""


@pytest.mark.parametrize("more", [[], ["-n2"]], ids=["alone", "xdist"])
def test_reports_that_pytest_was_told_to_write_come_from_the_record(
    ill: RunRecord, tmp_path: Path, more: list[str]
) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_one.py").write_text("def test_live(): pass\n")
    (tmp_path / "record.json").write_text(json.dumps(ill.to_json()))
    options = ["--html=out/mine.html", "--junitxml=out/mine.xml", "--alluredir=out/allure", "--clean-alluredir", *more]

    ran = subprocess.run(
        [sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider", *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert _page(tmp_path / "out/mine.html") == _page(tmp_path / "run/report.html")
    assert (tmp_path / "out/mine.xml").read_text() == (tmp_path / "run/junit.xml").read_text()
    assert len(list((tmp_path / "out/allure").glob("*-result.json"))) == len(ill.results)
    names = {case.get("name") for case in ElementTree.parse(tmp_path / "out/mine.xml").iter("testcase")}
    assert "test_live" not in names


def _page(path: Path) -> str:
    """The page without the moments at which it was made."""
    return re.sub(r"took [^.]+\.|at \d\d:\d\d:\d\d by", "", path.read_text(encoding="utf-8"))


def test_without_such_options_nothing_is_taken_over(pytestconfig: pytest.Config) -> None:
    assert runbook_reports.adopt(pytestconfig) == []


def test_taking_over_costs_no_start_up() -> None:
    script = "import sys, runbook_reports; runbook_reports.renderers(); print(*sys.modules)"

    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()

    assert not {"jinja2", "pytest_html", "allure_commons", "rich", "smtplib"}.intersection(loaded)


def test_all_reports_of_ten_thousand_checks_take_seconds(large: RunRecord, tmp_path: Path) -> None:
    begun = os.times().user
    runbook_reports.publish(large, tmp_path)

    # The processor's time, about 4 s: neighbours and the disk, which creates Allure's 10,000 files, are not ours.
    assert os.times().user - begun < 15
    assert large.problems == []


def test_memory_grows_by_less_than_twenty_kilobytes_a_check(
    new_large: Callable[[int], RunRecord], tmp_path: Path
) -> None:
    record = new_large(1_000)
    runbook_reports.publish(record, tmp_path)  # what is loaded once does not count

    tracemalloc.start()
    try:
        runbook_reports.publish(record, tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()

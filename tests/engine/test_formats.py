"""Which reports a run writes: those the settings name, those pytest's own options ask for, and always journal and record."""

from __future__ import annotations

from .conftest import Project

CHECK = """
    @check("daily")
    async def test_x():
        "It holds."
        assert True
"""


def test_a_run_may_do_without_reports_and_keeps_its_journal_and_record(project: Project) -> None:
    project.checks("web/pages.py", CHECK)
    project.settings("[report]\nformats = []")

    run = project.run()

    assert run.code == 0, run.output
    assert sorted(path.name for path in run.folder.iterdir()) == ["journal.jsonl", "run.json"]
    assert "1 check in" in run.output
    assert run.record.to_json() == run.journal.to_json()


def test_what_the_command_line_asks_for_is_written_whatever_the_settings_say(project: Project) -> None:
    project.checks("web/pages.py", CHECK)
    project.settings("[report]\nformats = []")
    asked = {"--html": "mine.html", "--junitxml": "mine.xml", "--alluredir": "mine"}

    run = project.run(*(f"{option}={run_path}" for option, run_path in asked.items()))

    assert run.code == 0, run.output
    assert "It holds." in (project.folder / "mine.html").read_text()
    assert 'name="x"' in (project.folder / "mine.xml").read_text()
    assert len(list((project.folder / "mine").glob("*-result.json"))) == 1
    assert not (run.folder / "report.html").exists()


def test_an_unknown_report_stops_the_run_before_any_check(project: Project) -> None:
    project.checks("web/pages.py", CHECK)

    run = project.run("--set", "report.formats=pdf")

    assert run.code == 4
    assert 'report.formats: unknown report "pdf" (known: allure, html, junit, text)' in run.output
    assert not run.folder.exists()

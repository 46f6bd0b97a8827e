"""The page: pytest-html's, with the story first, whole and safe, and quick in a real browser with 10,000 checks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from pytest_runbook.model import SCHEDULES, Measurement, Outcome, Result, RunRecord
from runbook_reports import html
from runbook_reports.html import page
from runbook_reports.html.sections import story
from runbook_reports.story import Story

from tests.reports import browser
from tests.reports.treated import TREATED, planned, remediated, still_failing, worse

each_treated = pytest.mark.parametrize("treated", TREATED, ids=lambda function: function.__name__)
needs_browser = pytest.mark.skipif(browser.PATH is None, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Page]:
    with browser.Page.opened(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.fixture
def show(tab: browser.Page, tmp_path: Path) -> Callable[..., browser.Page]:
    """Render a record and open its page."""

    def render(record: RunRecord, width: int = 1280, fragment: str = "") -> browser.Page:
        tab.events.clear()
        tab.resize(width, 900)
        (path,) = html.render(record, tmp_path)
        tab.open(path.as_uri() + fragment)
        return tab

    return render


def test_the_page_is_one_file_and_leaves_nothing_else(record: RunRecord, tmp_path: Path) -> None:
    (path,) = html.render(record, tmp_path)

    assert list(tmp_path.iterdir()) == [path]
    text = path.read_text(encoding="utf-8")
    assert "pytest-html" in text
    assert not re.search(r"""<(?:script|link|img|iframe)[^>]+(?:src|href)=["']?http""", text)


def test_the_first_screen_reads_as_agreed(ill: RunRecord, golden: Callable[[str, str], None]) -> None:
    markup = story(Story(ill), ill.results)

    golden("story.ill.html", re.sub(r"\n\s*\n+", "\n", markup))


@each_treated
def test_the_first_screen_tells_what_runbooks_did(
    treated: Callable[[], RunRecord], golden: Callable[[str, str], None]
) -> None:
    record = treated()
    markup = story(Story(record), record.results)

    golden(f"story.{treated.__name__}.html", re.sub(r"\n\s*\n+", "\n", markup))


def test_a_page_that_cannot_be_written_leaves_the_old_one(ill: RunRecord, tmp_path: Path) -> None:
    (tmp_path / "report.html").mkdir()

    with pytest.raises(OSError, match=r"report\.html"):
        html.render(ill, tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_a_style_sheet_of_the_user_comes_last(ill: RunRecord, tmp_path: Path) -> None:
    sheet = tmp_path / "mine.css"
    sheet.write_text("body { background: pink }")

    page.make(tmp_path / "report.html", ill, (sheet,))

    text = (tmp_path / "report.html").read_text()
    assert text.index("--paper") < text.index("background: pink")


def test_checks_beyond_the_table_are_listed_and_none_is_lost(large: RunRecord, tmp_path: Path) -> None:
    path = page.make(tmp_path / "report.html", large, rows=100)

    text = unescape(unescape(path.read_text(encoding="utf-8")))
    missing = [result.check.id for result in large.results if result.check.id not in text]
    assert missing == []
    assert text.count('<td class=\\"col-result\\">') == 100


@needs_browser
def test_the_page_of_each_scenario_opens_without_complaint_or_request(
    record: RunRecord, show: Callable[..., browser.Page]
) -> None:
    tab = show(record)

    assert tab.complaints == []
    assert [url for url in tab.requests if not url.startswith(("file:", "data:"))] == []
    assert tab.evaluate("document.querySelectorAll('#results-table > tbody td.col-testId').length") == len(
        record.results
    )


@needs_browser
def test_what_failed_and_why_is_on_the_first_screen(ill: RunRecord, show: Callable[..., browser.Page]) -> None:
    seen = show(ill).evaluate(
        """[...document.querySelectorAll('.verdict, .cause')]
           .filter(part => part.getBoundingClientRect().bottom < innerHeight).map(part => part.innerText)"""
    )

    text = re.sub(r"\s+", " ", " ".join(seen))
    assert "FAILED P1 NightScan production · daily" in text
    assert "P1 database/availability::answers connection refused: 10.0.0.5:5432" in text
    assert "web.response_time.p95 2.31 s, limit < 2 s" in text
    assert "blocks 9: web 5, ml 3, database 1" in text
    assert "could" not in text
    assert "unmeasured NVML cannot be loaded" in text


@needs_browser
def test_nothing_that_a_target_answered_runs_or_becomes_markup(
    hostile: RunRecord, show: Callable[..., browser.Page]
) -> None:
    tab = show(hostile)
    tab.evaluate("document.getElementById('show_all_details').click()")

    assert tab.complaints == []
    assert tab.evaluate("[...document.scripts].filter(s => s.textContent.startsWith('alert')).length") == 0
    assert tab.evaluate("document.querySelectorAll('a[href^=\"javascript\" i]').length") == 0
    assert "<script>alert('seen')</script>" in tab.evaluate("document.body.innerText")


@needs_browser
def test_a_cause_leads_to_its_row_opened(ill: RunRecord, show: Callable[..., browser.Page]) -> None:
    tab = show(ill)
    row = "document.getElementById('web/performance::p95_response_time')"
    assert tab.evaluate(f"{row}.querySelector('.extras-row').classList.contains('hidden')")

    tab.evaluate("document.querySelector('a[href$=p95_response_time]').click()")

    assert not tab.evaluate(f"{row}.querySelector('.extras-row').classList.contains('hidden')")
    assert "runbook web-slow" in tab.evaluate(f"{row}.innerText")


@needs_browser
def test_a_failing_row_shows_evidence_and_traceback(ill: RunRecord, show: Callable[..., browser.Page]) -> None:
    tab = show(ill, fragment="#database/availability::answers")

    text = tab.evaluate("document.getElementById('database/availability::answers').innerText")
    assert "SELECT 1 (postgresql://10.0.0.5:5432/nightscan, 118 ms)" in text
    assert "E   pytest_runbook.errors.Unreachable: connection refused: 10.0.0.5:5432" in text
    assert "WARNING  pool: could not connect, attempt 1" in text


@needs_browser
def test_rows_open_and_columns_sort_by_keyboard(ill: RunRecord, show: Callable[..., browser.Page]) -> None:
    tab = show(ill)
    tab.evaluate("document.querySelector('td.col-testId').focus()")
    _press_enter(tab)

    assert tab.evaluate("document.querySelector('.extras-row').classList.contains('hidden')") is False
    assert tab.evaluate("document.activeElement.className") == "col-testId"

    tab.evaluate("document.querySelector('th.col-took').focus()")
    _press_enter(tab)
    took = tab.evaluate("[...document.querySelectorAll('td.col-took data')].map(cell => +cell.value)")
    assert took == sorted(took)
    assert len(set(took)) > 2


@needs_browser
def test_rows_are_filtered_by_outcome(ill: RunRecord, show: Callable[..., browser.Page]) -> None:
    tab = show(ill)
    labels = tab.evaluate("[...document.querySelectorAll('.filters span')].map(label => label.innerText.trim())")
    assert [label.strip(",") for label in labels if label] == [
        "3 failed",
        "20 passed",
        "1 skipped",
        "1 waived",
        "1 remediated",
        "1 unmeasured",
        "9 blocked",
    ]

    tab.evaluate("document.querySelector('input[data-test-result=passed]').click()")

    outcomes = tab.evaluate("[...document.querySelectorAll('td.col-outcome')].map(cell => cell.innerText)")
    assert Outcome.PASSED not in outcomes
    assert len(outcomes) == 16


@needs_browser
@pytest.mark.parametrize("width", [400, 800, 1280])
def test_nothing_sticks_out_of_the_screen(ill: RunRecord, show: Callable[..., browser.Page], width: int) -> None:
    tab = show(ill, width)
    tab.evaluate("document.getElementById('show_all_details').click()")

    assert tab.evaluate("document.documentElement.scrollWidth") <= width


@needs_browser
@pytest.mark.parametrize("width", [400, 900, 1280])
def test_long_targets_messages_and_names_are_wrapped(
    new_result: Callable[..., Result],
    new_record: Callable[..., RunRecord],
    show: Callable[..., browser.Page],
    width: int,
) -> None:
    url = f"https://nightscan.example/{'a' * 200}"
    results = []
    for outcome in (Outcome.FAILED, Outcome.UNMEASURED, Outcome.WAIVED, Outcome.PASSED):
        one = new_result(
            f"web/pages::answers_{outcome}[{url}]", outcome, f'"{url}" answered 503', title=f"{url} is up."
        )
        one.hint, one.check = f"look at {url}", replace(one.check, schedules=tuple(SCHEDULES))
        one.measurements = [Measurement(f"web.{'b' * 200}", 2.31, "s", 2.0, "<", False)]
        results.append(one)
    tab = show(new_record(*results), width)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width

    tab.evaluate("document.getElementById('show_all_details').click()")
    tab.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")

    assert tab.evaluate("document.documentElement.scrollWidth") <= width


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_background(ill: RunRecord, show: Callable[..., browser.Page], scheme: str) -> None:
    tab = show(ill)
    tab.emulate(prefers_color_scheme=scheme)

    poor = tab.evaluate(CONTRAST)

    tab.emulate(prefers_color_scheme="light")
    assert poor == []


@needs_browser
@each_treated
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_runbooks_did_can_be_read(
    treated: Callable[[], RunRecord], show: Callable[..., browser.Page], scheme: str
) -> None:
    tab = show(treated(), 400)
    tab.emulate(prefers_color_scheme=scheme)
    tab.evaluate("document.getElementById('show_all_details').click()")
    tab.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")

    poor, width = tab.evaluate(CONTRAST), tab.evaluate("document.documentElement.scrollWidth")

    tab.emulate(prefers_color_scheme="light")
    assert poor == []
    assert width <= 400


@needs_browser
def test_what_was_remediated_is_never_plain_green(show: Callable[..., browser.Page]) -> None:
    tab = show(remediated())

    green = tab.evaluate("""(() => {
        const colour = selector => getComputedStyle(document.querySelector(selector)).color
        return [colour('.results-table-row.passed .col-outcome'), colour('.xpassed .col-outcome'), colour('.verdict strong')]
    })()""")
    assert green[1] != green[0] != green[2]
    assert "REMEDIATED NightScan production" in tab.evaluate("document.querySelector('.verdict').innerText")

    tab.evaluate("document.querySelector('input[data-test-result=passed]').click()")
    outcomes = tab.evaluate("[...document.querySelectorAll('td.col-outcome')].map(cell => cell.innerText)")
    assert outcomes == [Outcome.REMEDIATED] * 8


@needs_browser
def test_a_row_tells_attempts_and_steps_in_their_order(show: Callable[..., browser.Page]) -> None:
    tab = show(still_failing(), fragment="#database/availability::answers")

    row = "document.getElementById('database/availability::answers')"
    parts = tab.evaluate(f"[...{row}.querySelectorAll('.course > li')].map(part => part.innerText)")
    assert [" ".join(part.split())[:34] for part in parts] == [
        "2 attempts failed after 20 ms: con",
        "done Look at the end of the server",
        "not-needed Remove the stale lock f",
        "failed Reload the configuration (r",
        "1 attempt failed after 20 ms: conn",
        "done Start the server (restart, 2.",
        "3 attempts failed after 20 ms: con",
        "timed-out Run the recovery (restar",
        "2 attempts failed after 20 ms: con",
        "refused Promote the standby (destr",
    ]
    assert "last-resort on database" in parts[-1]
    assert "pg_ctl promote -D /srv/standby" in parts[-1]
    output = tab.evaluate(f"{row}.querySelector('.course details pre').textContent")
    assert output == "FATAL:  connection refused: 10.0.0.5:5432\n"
    assert not tab.evaluate(f"{row}.querySelector('.course details').open")


@needs_browser
def test_a_plan_shows_each_action_on_the_first_screen(show: Callable[..., browser.Page]) -> None:
    tab = show(planned())

    actions = tab.evaluate("[...document.querySelectorAll('.cause .actions code')].map(action => action.textContent)")
    assert actions[0] == "tail -n 50 /srv/database/server.log (on host)"
    assert actions[1].endswith("make_interval(secs => %s)  with 600")
    assert actions[2] == "database: VACUUM ANALYZE"


@needs_browser
def test_what_was_taken_back_is_told(show: Callable[..., browser.Page]) -> None:
    seen = show(worse()).evaluate("document.querySelector('.cause:has(.steps)').innerText")

    assert "made it worse: database/availability::answers failed after it" in seen
    assert "undone Move the data" in seen
    assert "undo failed Empty the archive (routine, 100 ms): exit status 1" in seen


@needs_browser
def test_ten_thousand_checks_open_in_a_moment_and_can_be_searched(
    large: RunRecord, tab: browser.Page, tmp_path: Path
) -> None:
    (path,) = html.render(large, tmp_path)
    tab.resize(1280, 900)

    assert path.stat().st_size < 5_000_000
    assert min(tab.open(path.as_uri()) for _ in range(3)) < 3

    tab.evaluate("""(() => {
        const field = document.getElementById('rest-search')
        field.value = 'fact_9999 '
        field.dispatchEvent(new Event('input'))
    })()""")
    assert tab.evaluate("document.getElementById('rest-found').innerText") == "1 found"
    assert "target_999_fact_9999" in tab.evaluate("document.querySelector('.rest details[open] pre').innerText")


def test_evidence_beyond_the_size_of_the_page_is_left_out_and_said_so(
    new_result: Callable[..., Result], new_record: Callable[..., RunRecord], tmp_path: Path
) -> None:
    results = [new_result(f"web/s::check_{n}", Outcome.FAILED, "no") for n in range(450)]
    for result in results:
        result.traceback = "x" * 20_000

    (path,) = html.render(new_record(*results), tmp_path)

    assert path.stat().st_size < 5_000_000
    assert "left out for the size of this page" in path.read_text()


def test_output_of_steps_beyond_the_size_of_the_page_is_left_out(
    new_record: Callable[..., RunRecord], new_result: Callable[..., Result], tmp_path: Path
) -> None:
    record = still_failing()
    steps = [step for result in record.results for step in result.steps] * 5
    for step in steps:
        step.output = "x" * 50_000
    results = [new_result(f"web/s::check_{n}", Outcome.STILL_FAILING, "no", steps=steps) for n in range(100)]

    (path,) = html.render(new_record(*results), tmp_path)

    assert path.stat().st_size < 8_000_000
    assert "left out for the size of this page" in path.read_text()


def _press_enter(tab: browser.Page) -> None:
    for kind in ("rawKeyDown", "char", "keyUp"):
        tab.call("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r")


CONTRAST = """(() => {
  const channel = value => (value /= 255) <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b)
  const colour = text => text.match(/[\\d.]+/g).map(Number)
  const behind = element => {
    for (; element; element = element.parentElement) {
      const found = colour(getComputedStyle(element).backgroundColor)
      if (found.length < 4 || found[3] > 0) return found
    }
    return [255, 255, 255]
  }
  const poor = new Set()
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim() && node.data.trim() !== '·')
    if (!own || !element.checkVisibility()) continue
    const [a, b] = [light(colour(getComputedStyle(element).color)), light(behind(element))].sort((x, y) => y - x)
    if ((a + 0.05) / (b + 0.05) < 4.5) poor.add(element.className + ': ' + element.textContent.trim().slice(0, 30))
  }
  return [...poor]
})()"""

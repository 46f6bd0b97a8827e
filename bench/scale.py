"""10,000 checks on 1,000 targets: what the reports cost beside plain pytest with the same three, memory, and the page."""

from __future__ import annotations

import shutil
import statistics
from pathlib import Path

from bench.projects import ACTIVE, PLAIN, address, server, write
from bench.timing import Row, in_turn, once, pytest_command, ratio_of_pairs

CHECKS, TARGETS = 10_000, 1_000
REPORTS = ("--html=page.html", "--self-contained-html", "--alluredir=allure", "--junitxml=junit.xml")
TRIVIAL = f"import pytest\n\n@pytest.mark.parametrize('n', range({CHECKS}))\ndef test_trivial(n):\n    assert n >= 0\n"
REAL = f"""
import pytest
from pytest_runbook import check

@check("daily")
@pytest.mark.parametrize("n", range({CHECKS}))
async def test_answers(n, probes):
    "The target answers."
    assert (await probes[f"target_{{n % {TARGETS}}}"].get(f"/?n={{n}}")).status_code == 200
"""


def run(folder: Path) -> list[Row]:
    """The figures, measured in FOLDER."""
    write(folder, {"pytest.ini": ACTIVE, "checks/trivial/trivial.py": TRIVIAL, "checks/web/pages.py": REAL})
    write(folder, {"settings.toml": '[system]\nname = "bench"\n[services.trivial]\n'})
    costs = in_turn(
        {
            "engine": pytest_command("checks/trivial", "--report=report", *REPORTS),
            "plain": pytest_command(*PLAIN, "checks/trivial", *REPORTS),
        },
        folder,
        runs=2,
    )
    with server(hosts=TARGETS) as port:
        write(folder, {"settings.toml": _settings(port)})
        real = once(pytest_command("checks/web", "--report=real"), folder)
    if real.code != 0:
        raise SystemExit(f"bench: scale ended with {real.code}:\n{(folder / 'output.txt').read_text()[-3000:]}")
    return [
        Row(
            "10,000 trivial tests with html, allure, junit: engine / plain", ratio_of_pairs(*costs.values()), " x", 1.15
        ),
        Row("10,000 checks on 1,000 targets, all reports", real.wall, " s"),
        Row("its peak memory", real.memory / 2**20, " MiB", 600),
        Row("its page", (folder / "real" / "report.html").stat().st_size / 2**20, " MiB"),
        *_page(folder),
    ]


def _settings(port: int) -> str:
    probes = "".join(
        f'[probes.target_{n}]\nkind = "http"\nurl = "http://{address(n)}:{port}"\nservice = "web"\n'
        for n in range(TARGETS)
    )
    return f'[system]\nname = "bench"\n[services.web]\n{probes}'


def _page(folder: Path) -> list[Row]:
    """Seconds until headless Chromium has loaded and laid out the page; nothing without Chromium."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        print("  (the page was not opened: no chromium on PATH)")
        return []
    page = folder / "real" / "report.html"
    command = [
        browser,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--screenshot={folder / 'page.png'}",
        page.as_uri(),
    ]
    opened = statistics.median(once(command, folder).wall for _ in range(3))
    return [Row("the page in Chromium, from the browser's start to the picture", opened, " s", 3.0)]

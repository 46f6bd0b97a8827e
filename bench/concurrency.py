"""200 checks that each wait 250 ms: together, one after another, by 8 xdist workers, and a bare client as the limit."""

from __future__ import annotations

import sys
from pathlib import Path

from bench.projects import ACTIVE, PLAIN, address, server, write
from bench.timing import Row, in_turn, median_wall, once, pytest_command

CHECKS, DELAY = 200, 0.25
TOGETHER = f"""
import pytest
from pytest_runbook import check

@check("daily")
@pytest.mark.parametrize("n", range({CHECKS}))
async def test_answers(n, web):
    "It answers."
    assert (await web.get(f"/?n={{n}}")).status_code == 200
"""
SERIAL = """
import httpx, pytest

@pytest.fixture(scope="session")
def client():
    with httpx.Client(base_url="{url}", trust_env=False) as client:
        yield client

@pytest.mark.parametrize("n", range({checks}))
def test_answers(n, client):
    assert client.get(f"/?n={{n}}").status_code == 200
"""
BARE = """
import asyncio, httpx

async def main():
    limits = httpx.Limits(max_connections={checks})
    async with httpx.AsyncClient(base_url="{url}", trust_env=False, limits=limits, timeout=60) as client:
        answers = await asyncio.gather(*(client.get(f"/?n={{n}}") for n in range({checks})))
    assert [answer.status_code for answer in answers] == [200] * {checks}

asyncio.run(main())
"""


def run(folder: Path) -> list[Row]:
    """The figures, measured in FOLDER."""
    with server(delay=DELAY) as port:
        url = f"http://{address(0)}:{port}"
        settings = (
            f'[system]\nname = "bench"\n[services.web]\n[concurrency]\ntotal = {CHECKS}\n'
            f'[probes.web]\nkind = "http"\nurl = "{url}"\nconcurrency = {CHECKS}\ntimeout = 60\n'
        )
        write(
            folder,
            {
                "pytest.ini": ACTIVE,
                "settings.toml": settings,
                "checks/web/pages.py": TOGETHER,
                "checks/serial/pages.py": SERIAL.format(url=url, checks=CHECKS),
                "checks/empty/pages.py": "def test_nothing():\n    assert True\n",
                "bare.py": BARE.format(url=url, checks=CHECKS),
            },
        )
        costs = in_turn(
            {
                "together": pytest_command("checks/web", "--report=report"),
                "bare client": [sys.executable, "bare.py"],
                "pytest's start": pytest_command(*PLAIN, "checks/empty"),
                "xdist": pytest_command(*PLAIN, "checks/serial", "-n", "8"),
            },
            folder,
            runs=3,
        )
        serial = once(pytest_command(*PLAIN, "checks/serial"), folder).wall
    together, bare, start, xdist = (median_wall(costs[name]) for name in costs)
    return [
        Row("bare client, 200 requests of 250 ms", bare, " s"),
        Row("pytest's own start", start, " s"),
        Row("checks together", together, " s"),
        Row("checks together / (1.3 x bare client + pytest's start)", together / (1.3 * bare + start), " x", 1.0),
        Row("serial pytest / checks together", serial / together, " x"),
        Row("xdist -n 8 / checks together", xdist / together, " x"),
    ]

"""The page of the guide names each row once, every check that serves it, and nothing that does not exist."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.docs.pages import DOCS, ROOT, spoken

CHECK = re.compile(r"[a-z_]+/[a-z_]+::[a-z0-9_]+")
ROW = re.compile(r"^\| (G\d\d) \| (.*)$", re.MULTILINE)


@pytest.fixture(scope="module")
def page() -> str:
    return (DOCS / "guide.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def rows(page: str) -> dict[str, str]:
    """Row to all that stands in it; the table of defects at the end names rows a second time."""
    return dict(ROW.findall(page.partition("## Where the guide's own command")[0]))


@pytest.fixture(scope="module")
def collected() -> set[str]:
    """Ids of all checks, a parametrised one once."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "checks"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return set(re.findall(rf"^ +({CHECK.pattern})(?:\[.*\])? · ", done.stdout, re.MULTILINE))


def claims() -> Iterator[tuple[str, str]]:
    """Each row that a check's docstring names, with the check: `(guide G14, G26)`."""
    for path in sorted((ROOT / "checks").glob("*/*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                for told in re.findall(r"\(guide ([^)]*)\)", ast.get_docstring(node) or ""):
                    for row in re.findall(r"G\d\d", told):
                        yield row, f"{path.parent.name}/{path.stem}::{node.name.removeprefix('test_')}"


def test_every_row_of_the_guide_stands_there_once_and_in_order(page: str) -> None:
    first, _, _ = page.partition("## Where the guide's own command")
    assert [row for row, _ in ROW.findall(first)] == [f"G{number:02}" for number in range(1, 61)]


def test_every_check_that_the_page_names_exists(page: str, collected: set[str]) -> None:
    named = {word for word in spoken(page) if CHECK.fullmatch(word)}
    assert len(named) > 50
    assert named <= collected


def test_every_check_stands_in_the_row_that_its_docstring_names(rows: dict[str, str]) -> None:
    told = list(claims())
    assert len(told) > 30
    assert [(row, check) for row, check in told if f"`{check}`" not in rows[row]] == []


def test_every_row_is_served_or_says_that_it_is_not(rows: dict[str, str]) -> None:
    silent = [row for row, text in rows.items() if not ("not yet" in text or CHECK.search(text) or "`pytest " in text)]
    assert silent == []


def test_every_runbook_that_the_page_names_exists(page: str) -> None:
    named = [word for word in spoken(page) if word.startswith("remediation/")]
    assert named
    assert [word for word in named if not (ROOT / word).is_file()] == []

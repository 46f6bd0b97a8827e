"""The certificate of a drill as one page: what was proven, in what time, and what was not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runbook_reports.templates import templates

HERE = Path(__file__).parent
STYLE = HERE.parent / "html" / "style.css"


def html(data: Mapping[str, Any]) -> str:
    """The page of DATA, a certificate as its JSON says it, redacted."""
    page = templates(HERE / "templates").get_template("certificate.html")
    return page.render(paper=data, style=STYLE.read_text(encoding="utf-8"), word=_word(str(data["verdict"])))


def _word(verdict: str) -> str:
    """The style of VERDICT."""
    return {"proven": "good", "failed": "bad"}.get(verdict, "unsure")

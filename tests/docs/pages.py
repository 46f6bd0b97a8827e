"""Where the documentation lies, and what it says in backticks."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def spoken(text: str) -> set[str]:
    """Everything that TEXT sets in backticks, on one line."""
    return set(re.findall(r"`([^`\n]+)`", text))


def commands(text: str) -> list[str]:
    """Lines of the shell blocks of TEXT that are commands: no comment, no output."""
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    return [line.strip() for block in blocks for line in block.splitlines() if line.strip()]

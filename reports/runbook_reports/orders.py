"""Takes over a report that pytest was told to write, so that it is made from the finished, redacted record."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def taken(config: pytest.Config, option: str) -> Path | None:
    """The path that OPTION names, which is cleared: the plugin it belongs to then stays idle.

    Has to happen before that plugin's `pytest_configure`; nothing is unregistered, no private state touched.
    """
    path = getattr(config.option, option, None)
    if not path:
        return None
    setattr(config.option, option, None)
    return Path(os.path.expandvars(path)).expanduser().absolute()

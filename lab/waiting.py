"""Waiting until something is so: by asking, with a deadline, never by sleeping for a guessed time."""

from __future__ import annotations

import time
from collections.abc import Callable

from lab.site import LabError


class NotReady(Exception):
    """The server does not do its work yet; the text says what was seen."""


def until(check: Callable[[], object], what: str, *, deadline: float, interval: float = 0.02) -> None:
    """Call CHECK until it raises nothing (NotReady, OSError mean: not yet), for DEADLINE seconds at most."""
    end = time.monotonic() + deadline
    while True:
        try:
            check()
            return
        except (NotReady, OSError) as error:
            if time.monotonic() > end:
                raise LabError(f"{what}: not so within {deadline:g} s: {error}") from error
        time.sleep(interval)

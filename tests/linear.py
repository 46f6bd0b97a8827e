"""Whether texts are read in linear time, also those that make a pattern try again and again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator


def hostile(fitting: str) -> Iterator[str]:
    """Beginnings of FITTING over and over, and each before a long run of what a pattern may skip on its way to an end."""
    for end in range(1, len(fitting) + 1):
        yield fitting[:end] * (24_000 // end)
        yield from (fitting[:end] + one * 24_000 for one in " a\\\"'@[=-")


def is_read_in_linear_time(read: Callable[[str], object], text: str) -> bool:
    """Whether READ takes about four times as long for four times as much of TEXT, and not sixteen times.

    What takes no time grows too slowly to matter. It is the processor's time: a busy machine counts for little.
    """

    def seconds(size: int) -> float:
        begun = time.process_time()
        read(text[:size])
        return time.process_time() - begun

    size = len(text)
    return seconds(size) < 0.05 or min(seconds(size) for _ in range(3)) < 10 * min(seconds(size // 4) for _ in range(3))

"""How far a backup is: a line for each part, and bars on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Progress:
    """Says nothing; what programs and tests want."""

    def say(self, text: str) -> None:
        """TEXT, a line."""

    @contextmanager
    def bar(self, title: str, size: int) -> Iterator[Callable[[int], object]]:
        """Be told of each piece, of SIZE bytes in all."""
        yield lambda piece: None


class Terminal(Progress):
    """Lines to standard error; bars too when that is a terminal."""

    def __init__(self, clean: Callable[[str], str] = str) -> None:
        """CLEAN takes secrets out of what is said."""
        self._clean = clean

    def say(self, text: str) -> None:
        """TEXT, a line."""
        print(self._clean(text), file=sys.stderr, flush=True)

    @contextmanager
    def bar(self, title: str, size: int) -> Iterator[Callable[[int], object]]:
        """A bar that goes away when it is full."""
        from tqdm import tqdm  # late: nobody else needs it

        with tqdm(
            total=size, desc=self._clean(title), unit="B", unit_scale=True, leave=False, disable=not sys.stderr.isatty()
        ) as shown:
            yield shown.update

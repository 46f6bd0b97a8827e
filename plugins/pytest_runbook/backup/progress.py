"""How far a backup is: a line for each part, and bars on a terminal."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOOK = 0.5
"""Seconds between two looks at what grows."""


class Progress:
    """Says nothing; what programs and tests want."""

    def say(self, text: str) -> None:
        """TEXT, a line."""

    @contextmanager
    def bar(self, title: str, size: int) -> Iterator[Callable[[int], object]]:
        """Be told of each piece, of SIZE bytes in all."""
        yield lambda piece: None

    @contextmanager
    def growing(self, title: str, folder: Path, size: int) -> Iterator[None]:
        """Show what lies in FOLDER during the block; it may become SIZE bytes, 0 when nobody knows."""
        with self.bar(title, size) as advance:
            over = threading.Event()
            watch = threading.Thread(target=_watch, args=(folder, advance, over), daemon=True)
            watch.start()
            try:
                yield
            finally:
                over.set()
                watch.join()


class Terminal(Progress):
    """Lines to standard error; bars too when that is a terminal."""

    def __init__(self, clean: Callable[[str], str] = str) -> None:
        """CLEAN takes secrets out of what is said."""
        self._clean = clean

    def say(self, text: str) -> None:
        """TEXT, a line."""
        with suppress(OSError):  # who does not listen any more ends no backup
            print(self._clean(text), file=sys.stderr, flush=True)

    @contextmanager
    def bar(self, title: str, size: int) -> Iterator[Callable[[int], object]]:
        """A bar that goes away when it is full."""
        from tqdm import tqdm  # late: nobody else needs it

        with tqdm(
            total=size or None,
            desc=self._clean(title),
            unit="B",
            unit_scale=True,
            leave=False,
            disable=not sys.stderr.isatty(),
        ) as shown:
            yield shown.update


def _watch(folder: Path, advance: Callable[[int], object], over: threading.Event) -> None:
    """Tell ADVANCE how much is new in FOLDER until it is OVER."""
    told = 0
    while not over.wait(LOOK):
        lies = 0
        with suppress(OSError):  # what is being made has files that come and go
            lies = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        if lies > told:
            advance(lies - told)
            told = lies

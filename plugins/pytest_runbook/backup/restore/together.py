"""Works on the parts of a restore side by side; when one of them fails, what works for the others ends as well."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_runbook.backup.restore import scratch
from pytest_runbook.backup.stopping import Stop
from pytest_runbook.errors import RestoreError

if TYPE_CHECKING:
    import psycopg

AGAIN = 0.2
"""Seconds after which what a part has begun meanwhile is ended too."""


class GivenUp(Stop):
    """Set when nobody waits for the parts any more: they heed it in their loops, and what they ask a server is cut off."""

    def __init__(self) -> None:
        super().__init__()
        self._asked = list[Any]()

    @contextmanager
    def cuts(self, session: psycopg.Connection[Any]) -> Iterator[None]:
        """What SESSION waits for in the block ends when it is given up."""
        self._asked.append(session)
        try:
            self.heed()
            yield
        finally:
            self._asked.remove(session)

    def cut(self) -> None:
        """Cut off what is waited for now."""
        from pytest_runbook.backup import postgresql  # late: psycopg costs a tenth of a second

        for session in [*self._asked]:
            postgresql.cut(session)


def work(parts: Sequence[Callable[[], None]], home: Path, given_up: GivenUp) -> None:
    """Do PARTS, whose programs work for the scratch folder HOME and whose own loops end when GIVEN_UP is set.

    Raises what the first one that failed has raised, an OSError as RestoreError.
    """
    if not parts:
        return
    with ThreadPoolExecutor(len(parts)) as pool:
        asked = [pool.submit(part) for part in parts]
        try:
            for done in as_completed(asked):
                done.result()
        except BaseException as error:  # nobody waits for the other parts
            _end(asked, home, given_up)
            if isinstance(error, OSError):  # a full disk, most of the time
                raise RestoreError(
                    f"it cannot be written: {error}\n  hint: look at the room and rights there"
                ) from None
            raise


def _end(asked: Sequence[Future[None]], home: Path, given_up: GivenUp) -> None:
    """Have the parts that are ASKED for end, with what one of them starts before it heeds that."""
    given_up.set()
    while True:
        given_up.cut()
        scratch.end(home)
        if not wait(asked, AGAIN).not_done:
            return

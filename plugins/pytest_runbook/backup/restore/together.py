"""Works on the parts of a restore side by side; when one of them fails, what works for the others ends as well."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from threading import Event

from pytest_runbook.backup.restore import scratch
from pytest_runbook.errors import RestoreError


def work(parts: Sequence[Callable[[], None]], home: Path, given_up: Event) -> None:
    """Do PARTS, whose programs work for the scratch folder HOME and whose own loops end when GIVEN_UP is set.

    Raises what the first one that failed has raised, an OSError as RestoreError.
    """
    if not parts:
        return
    with ThreadPoolExecutor(len(parts)) as pool:
        try:
            for done in as_completed([pool.submit(part) for part in parts]):
                done.result()
        except BaseException as error:  # nobody waits for the other parts
            given_up.set()
            scratch.end(home)
            if isinstance(error, OSError):  # a full disk, most of the time
                raise RestoreError(
                    f"it cannot be written: {error}\n  hint: look at the room and rights there"
                ) from None
            raise

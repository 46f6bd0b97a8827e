"""Which archives of files were read back lately where they lie, so that not every backup reads all earlier ones again.

It stands in `verified.json` of the backup whose archive it is: when it was read, and what its place told of it then.
"""

from __future__ import annotations

from datetime import timedelta

from pytest_runbook import clock
from pytest_runbook.backup.destinations import Destination
from pytest_runbook.backup.manifest import FILES, VERIFIED

KEY = "archive"


def noted(mark: str) -> dict[str, dict[str, str]]:
    """What to note of an archive that was just read, of which its place told MARK before; nothing where it told nothing."""
    return {KEY: {"at": clock.iso(clock.now()), "mark": mark}} if mark else {}


def note(destination: Destination, backup: str, mark: str) -> None:
    """Note that those files of the archive of BACKUP which another one needs were just read, and were good.

    Only where all of it was verified, and is since then as it was: the other files were not compared.
    """
    told = destination.noted(backup, VERIFIED)
    if told and told.get(KEY, {}).get("mark", mark) == mark:
        destination.note(backup, VERIFIED, {**told, **noted(mark)})


def known(destination: Destination, backup: str, days: float) -> bool:
    """Whether the archive of BACKUP was read within DAYS, and is there as it was then."""
    told = (destination.noted(backup, VERIFIED) or {}).get(KEY) if days else None
    if not told:
        return False
    age = clock.now() - clock.parse(told["at"])
    return timedelta(0) <= age <= timedelta(days=days) and destination.mark(backup, FILES) == told["mark"]

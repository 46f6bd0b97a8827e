"""Brings the parts of a backup here, and looks at every byte on the way: size and checksum are those of the manifest."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from pytest_runbook.backup import reading
from pytest_runbook.backup.destinations.base import safe
from pytest_runbook.backup.verdict import PASSING, Fault
from pytest_runbook.errors import BackupError

if TYPE_CHECKING:
    from pytest_runbook.backup.destinations import Destination
    from pytest_runbook.backup.manifest import Manifest, Stored

AT_ONCE = 4
"""Files that are under way together."""


def fetch(
    destination: Destination,
    manifest: Manifest,
    names: Iterable[str],
    folder: Path,
    given_up: threading.Event | None = None,
) -> list[Fault]:
    """Copy NAMES of the backup of MANIFEST into FOLDER; what is wrong with them. A bad one is not kept.

    When it is GIVEN_UP, from another thread, BackupError is raised in the middle.
    """

    def one(name: str) -> list[Fault]:
        return _fetch(destination, manifest.id, name, manifest.stored[name], folder, given_up)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return [fault for found in pool.map(one, names) for fault in found]


def _fetch(
    destination: Destination,
    id: str,  # noqa: A002 - what it is called everywhere
    name: str,
    told: Stored,
    folder: Path,
    given_up: threading.Event | None,
) -> list[Fault]:
    try:
        target = folder / safe(name)
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with destination.read(id, name) as stream, target.open("xb") as file:
            faults = list(reading.compared(until(stream, given_up), name, told, file.write))
    except BackupError as error:
        return [as_fault(error, name)]
    if faults:
        target.unlink()
    return faults


def until(stream: BinaryIO, given_up: threading.Event | None) -> BinaryIO:
    """STREAM, which raises BackupError to who reads on when it is GIVEN_UP, from another thread."""
    return cast(BinaryIO, _Until(stream, given_up)) if given_up else stream


@dataclass(frozen=True, slots=True)
class _Until:
    stream: BinaryIO
    given_up: threading.Event

    def read(self, size: int = -1) -> bytes:
        if self.given_up.is_set():
            raise BackupError("it was given up", reason="unreachable")
        return self.stream.read(size)


def as_fault(error: BackupError, where: str) -> Fault:
    """ERROR, met at WHERE, as what is wrong with the backup; raised again when it only says that nobody could look."""
    if error.reason in PASSING:
        raise error
    return Fault(error.reason or "corrupt", where, " ".join(str(error).split()))

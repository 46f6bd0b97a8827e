"""Backups: made of one moment, read back before they are called good, and kept in several places.

    make(settings, root) -> Manifest       verify(destination, id) -> Verdict
    with closing("s3", settings, root) as destination: …

One backup is a folder ID with the same names in every destination; `manifest.json` is written last: where it is,
everything is. `docs/backup.md` has the whole layout.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_runbook.backup.everything import closing, make
    from pytest_runbook.backup.verifying import verified, verify

__all__ = ["closing", "make", "verified", "verify"]


def __getattr__(name: str) -> object:
    # Late: the settings need this package for the kinds of destinations, and what makes a backup needs the settings.
    if name in ("make", "closing"):
        from pytest_runbook.backup import everything

        return getattr(everything, name)
    if name in ("verify", "verified"):
        from pytest_runbook.backup import verifying

        return getattr(verifying, name)
    raise AttributeError(name)

"""Stops threads that read, copy or encrypt large files: who waits for them says so, and they heed it at each piece."""

from __future__ import annotations

from threading import Event

from pytest_runbook.errors import BackupError


class Stop(Event):
    """Set by who waits; heeded by who works."""

    def heed(self, *_: object) -> None:
        """Raise BackupError once it is set; it may be called with a piece, or with its size."""
        if self.is_set():
            raise BackupError("what was begun was given up")

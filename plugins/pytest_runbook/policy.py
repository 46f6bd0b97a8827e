"""What is accepted for a time: waivers of persons and maintenance windows, one predicate for all who ask."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from fnmatch import fnmatchcase

from pytest_runbook import clock
from pytest_runbook.model import Check, Waiver
from pytest_runbook.settings import MaintenanceWindow
from pytest_runbook.settings import Waiver as WaiverSettings


class Policy:
    """The waivers and windows of the settings, asked about one check at one moment."""

    def __init__(self, waivers: Sequence[WaiverSettings], windows: Sequence[MaintenanceWindow]) -> None:
        self._waivers = waivers
        self._windows = windows

    def accepted(self, check: Check, moment: datetime) -> Waiver | None:
        """Why a failure of CHECK at MOMENT is accepted; None when it is not."""
        if window := self.window(check.service, moment):
            return window
        for waiver in self._waivers:
            if fnmatchcase(check.id, waiver.check) and moment < waiver.expires:
                return Waiver("waiver", waiver.owner, waiver.reason, clock.iso(waiver.expires))
        return None

    def window(self, service: str, moment: datetime) -> Waiver | None:
        """The maintenance window that SERVICE is in at MOMENT; None when it is in none."""
        for window in self._windows:
            if window.start <= moment < window.end and ("*" in window.services or service in window.services):
                return Waiver("maintenance", window.owner, window.reason, clock.iso(window.end))
        return None

    def expired(self, check: Check, moment: datetime) -> str | None:
        """A sentence about a waiver of CHECK that has run out by MOMENT; None when there is none."""
        for waiver in self._waivers:
            if fnmatchcase(check.id, waiver.check) and moment >= waiver.expires:
                return (
                    f"the waiver of {check.id} by {waiver.owner} expired on {clock.iso(waiver.expires)}: it fails again"
                )
        return None

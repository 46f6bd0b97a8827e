"""Settings of a run: merged from their layers, typed, each value with its origin; what is wrong is said all at once."""

from pytest_runbook.errors import SettingsError
from pytest_runbook.settings.facts import SystemFacts
from pytest_runbook.settings.layers import Settings
from pytest_runbook.settings.load import Loaded, load
from pytest_runbook.settings.schema import (
    Concurrency,
    Confirm,
    Mail,
    MaintenanceWindow,
    Report,
    Service,
    System,
    Waiver,
)
from pytest_runbook.settings.tables import Table

__all__ = [
    "Concurrency",
    "Confirm",
    "Loaded",
    "Mail",
    "MaintenanceWindow",
    "Report",
    "Service",
    "Settings",
    "SettingsError",
    "System",
    "SystemFacts",
    "Table",
    "Waiver",
    "load",
]

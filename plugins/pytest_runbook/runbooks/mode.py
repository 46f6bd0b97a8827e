"""How far a run may go when checks fail."""

from enum import StrEnum


class Mode(StrEnum):
    """How far a run may go when checks fail."""

    OFF = "off"
    PLAN = "plan"
    """Say what would be done."""
    ASK = "ask"
    """Ask before each step that changes something."""
    APPLY = "apply"

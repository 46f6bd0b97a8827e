"""What a running process was started with: its own environment tells what no manager knows."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pytest_runbook.managers import Completed


def started_with(command: Callable[..., Completed], variable: str, pids: Iterable[int]) -> str | None:
    """The value of VARIABLE in the environment of PIDS; None when they do not agree, or may not be looked at.

    Only the one variable leaves the machine: the others are its secrets.
    """
    found = {_variable(command, variable, pid) for pid in pids}
    return found.pop() if len(found) == 1 else None


def _variable(command: Callable[..., Completed], variable: str, pid: int) -> str | None:
    done = command("grep", "-az", f"^{variable}=", f"/proc/{pid}/environ")
    return done.output.rstrip("\0\n").partition("=")[2] or None if done.status == 0 else None

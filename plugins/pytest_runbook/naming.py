"""What runs, deployments and our sessions in databases are called, and who began them."""

from __future__ import annotations

import getpass
import os
import secrets

from pytest_runbook import clock

SESSION = "pytest-runbook"
"""The application_name of each of our sessions in PostgreSQL; of one that may work for hours its beginning, then at what."""


def new_id() -> str:
    """An id for a run: UTC time and a random part, sortable."""
    return f"{clock.now():%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"


def user() -> str:
    """The account that this process runs as."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a uid without a name, as in a container
        return str(os.getuid())


def person() -> str:
    """Who is at work, as far as the machine can tell: the one behind `sudo`, else the account."""
    behind = os.environ.get("SUDO_USER", "")
    return f"{behind} as {user()}" if behind and behind != user() else user()

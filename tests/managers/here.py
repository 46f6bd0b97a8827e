"""Commands on this machine, run as a runbook's step runs those of a service manager."""

from pathlib import Path

from pytest_runbook.runbooks.reach import Reach
from pytest_runbook.settings import Settings

local = Reach(Settings(), Path.cwd(), "tests").run_on(None)

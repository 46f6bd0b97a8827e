"""Puts a version where another runs: verified before and after, taken back when it is worse, finished when it was killed."""

from pytest_runbook.deploy.deployment import Deployment, Request
from pytest_runbook.deploy.phases import Phase
from pytest_runbook.deploy.verdict import Judgement

__all__ = ["Deployment", "Judgement", "Phase", "Request"]

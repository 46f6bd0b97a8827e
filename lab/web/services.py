"""What the views work with, made once and reached through the application that answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from flask import Flask, current_app

from lab.serving.environment import Environment
from lab.serving.faults import Faults
from lab.web.cache import Cache
from lab.web.database import Database


@dataclass(frozen=True)
class Services:
    """What one application is connected to."""

    environment: Environment
    faults: Faults
    database: Database
    cache: Cache


def of(app: Flask) -> Services:
    """The services of APP."""
    return cast(Services, app.extensions["services"])


def services() -> Services:
    """The services of the application that handles the request."""
    return of(current_app)

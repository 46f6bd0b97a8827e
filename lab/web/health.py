"""Says how the application is: /health only that the process answers, /ready whether what it needs is there."""

from __future__ import annotations

import os
import shutil

import psutil
from flask import Blueprint, current_app, jsonify
from flask.typing import ResponseReturnValue

from lab.serving.clock import timestamp
from lab.web.services import services

LEAST_DISK, LEAST_MEMORY = 100 * 1024 * 1024, 0.02
"""Free bytes below which uploads fail, and the free part of the memory below which workers are killed."""

blueprint = Blueprint("health", __name__)


@blueprint.get("/health")
def health() -> ResponseReturnValue:
    """The process answers."""
    here = services()
    version = here.faults.get("version") or here.environment.version
    return jsonify(status="healthy", timestamp=timestamp(), version=version)


@blueprint.get("/ready")
def ready() -> ResponseReturnValue:
    """What the application needs, looked at now."""
    here = services()
    cache = here.cache.look()
    memory = psutil.virtual_memory()
    checks = {
        "database": here.database.answers(),
        "disk_space": shutil.disk_usage(os.fspath(here.environment.folder)).free >= LEAST_DISK,
        "memory": memory.available / memory.total >= LEAST_MEMORY,
        "cache": cache["connected"],
    }
    checks |= dict.fromkeys(here.faults.get("not_ready") or (), False)
    good = all(checks.values())
    if not good:
        current_app.logger.warning("not ready", extra={"checks": checks})
    status = "ready" if good else "not_ready"
    return jsonify(status=status, checks=checks, cache=cache, timestamp=timestamp()), 200 if good else 503

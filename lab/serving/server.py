"""Runs an application under gunicorn, as production does, from code: the lab has no configuration files to lose."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication

TICK = 0.02
"""Seconds between two workers' starts: `process_start_time_seconds` counts in 10 ms and must tell them apart."""


class Server(BaseApplication):  # type: ignore[misc]
    """One application, loaded once and then forked: quick to start, and its memory is shared."""

    def __init__(self, app: Flask, **settings: Any) -> None:
        self._app, self._settings = app, settings
        super().__init__()

    def load_config(self) -> None:
        """What gunicorn asks for."""
        for name, value in self._settings.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """What gunicorn asks for."""
        return self._app


def run(app: Flask, port: int, *, workers: int, threads: int, started: Callable[[], None] = lambda: None) -> None:
    """Serve APP on 127.0.0.1:PORT until SIGTERM; STARTED runs in each worker process when it begins."""

    def worker_starts(_worker: object) -> None:
        started()

    def master_forks(_arbiter: object, _worker: object) -> None:
        time.sleep(TICK)

    Server(
        app,
        bind=f"127.0.0.1:{port}",
        workers=workers,
        worker_class="gthread",
        threads=threads,
        preload_app=True,
        # A connection serves one request, as with the real system's sync workers: each request finds any worker.
        keepalive=0,
        graceful_timeout=1,
        timeout=30,
        loglevel="warning",
        control_socket_disable=True,
        pre_fork=master_forks,
        post_worker_init=worker_starts,
    ).run()

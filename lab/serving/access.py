"""Times every request and writes a record of it, the same way in each service."""

from __future__ import annotations

import time

from flask import Flask, Response, g, request


def install(app: Flask) -> None:
    """Record every request of APP. Comes first: what others do before and after a request is part of its time."""

    @app.before_request
    def begin() -> None:
        g.begun = time.perf_counter()

    @app.after_request
    def record(response: Response) -> Response:
        extra = {"method": request.method, "path": request.path, "status": response.status_code}
        app.logger.info("request", extra=extra | {"duration_ms": round(elapsed() * 1000, 1)})
        return response


def elapsed() -> float:
    """Seconds since this request began."""
    return time.perf_counter() - float(g.begun)

"""The application's Prometheus metrics. Each worker process counts for itself and answers with its own counters."""

from __future__ import annotations

import redis
from flask import Blueprint, Flask, Response, abort, request
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Histogram, generate_latest

from lab.serving import access
from lab.web.services import services

REQUESTS = Counter("nightscan_http_requests_total", "HTTP requests", ["method", "endpoint", "status"])
DURATION = Histogram("nightscan_http_request_duration_seconds", "Time to answer a request", ["method", "endpoint"])
PREDICTIONS = Counter("nightscan_predictions_total", "Predictions that were asked for", ["status"])
PREDICTION_DURATION = Histogram("nightscan_prediction_duration_seconds", "Time to take in a recording")
QUEUE = Gauge("nightscan_celery_queue_size", "Tasks in Celery's queue")
CONNECTIONS = Gauge("nightscan_database_connections", "Database connections that are open")
FAILED_LOGINS = Counter("nightscan_failed_logins_total", "Sign-ins that failed", ["reason"])

blueprint = Blueprint("metrics", __name__)


def install(app: Flask) -> None:
    """Count and time every request of APP, those that fail too."""
    app.register_blueprint(blueprint)

    @app.after_request
    def count(response: Response) -> Response:
        endpoint = (request.endpoint or "unknown").rpartition(".")[2]
        REQUESTS.labels(request.method, endpoint, str(response.status_code)).inc()
        DURATION.labels(request.method, endpoint).observe(access.elapsed())
        return response


@blueprint.get("/metrics")
def metrics() -> Response:
    """What this worker process counted."""
    here = services()
    if here.faults.get("metrics_down"):
        abort(503)
    CONNECTIONS.set(here.database.connections())
    try:
        QUEUE.set(here.cache.waiting())
    except redis.RedisError:
        # A length that cannot be had is not zero.
        QUEUE.set(float("nan"))
    return Response(generate_latest(), content_type=CONTENT_TYPE_LATEST)

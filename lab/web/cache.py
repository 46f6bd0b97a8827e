"""The application's way to Redis: cached values and the two queues, with time-outs short enough to answer without it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from lab.web import APPLICATION

T = TypeVar("T")
PATIENCE = 1.0
PREDICTIONS, TASKS = "prediction:queue", "celery"
"""A sorted set (by the time of arrival) of uploads to be classified, and Celery's list."""


def connect(url: str, application: str) -> redis.Redis:
    """A client of the server at URL, named APPLICATION there; nothing is sent before its first command."""
    return redis.Redis.from_url(
        url,
        decode_responses=True,
        socket_timeout=PATIENCE,
        socket_connect_timeout=PATIENCE,
        # Once more for a connection that went away while it was idle, not for a server that does not answer.
        retry=Retry(NoBackoff(), 1, (redis.ConnectionError,)),
        client_name=application,
    )


class Cache:
    """What the pages need of Redis."""

    def __init__(self, url: str) -> None:
        self.client = connect(url, APPLICATION)

    def look(self) -> dict[str, Any]:
        """How the cache is: `connected`, and the memory used or the error."""
        begun = time.perf_counter()
        try:
            memory: Any = self.client.info("memory")
        except redis.RedisError as error:
            return {"connected": False, "error": str(error)}
        elapsed = round((time.perf_counter() - begun) * 1000, 2)
        return {"connected": True, "latency_ms": elapsed, "used_memory": memory["used_memory"]}

    def through(self, key: str, seconds: int, make: Callable[[], T]) -> T:
        """The cached value of KEY, or what MAKE() gives, then kept for SECONDS."""
        try:
            text: Any = self.client.get(f"cache:{key}")
            value: T = json.loads(text) if text else make()
            if not text:
                self.client.set(f"cache:{key}", json.dumps(value), ex=seconds)
        except redis.RedisError:
            # A page without its cache is slower, not broken.
            return make()
        return value

    def enqueue(self, job: dict[str, Any]) -> None:
        """Put an upload into the queue of predictions, and the task that tells its user into Celery's."""
        with self.client.pipeline() as pipeline:
            pipeline.zadd(PREDICTIONS, {json.dumps(job, sort_keys=True): time.time()})
            pipeline.lpush(TASKS, json.dumps({"task": "notify_prediction", "prediction": job["id"]}))
            pipeline.execute()

    def waiting(self) -> int:
        """Length of Celery's list."""
        length: Any = self.client.llen(TASKS)
        return int(length)

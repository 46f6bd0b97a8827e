"""`python -m lab.worker`: takes recordings and tasks from the queues, as the real system's Celery workers do.

A recording is classified by the prediction service, and its row gets the result. What cannot be done now, because the
service or the database does not answer, goes back to the end of the queue; what can never be done is dropped and logged.
"""

from __future__ import annotations

import http.client
import json
import logging
import signal
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

import redis

from lab.serving import client, logs
from lab.serving.environment import Environment, read
from lab.web.cache import PREDICTIONS, TASKS, connect
from lab.web.database import Database, Unavailable

IDLE, PAUSE = 0.5, 1.0
"""Seconds to wait for work, and after something did not answer."""


class NotNow(Exception):
    """A service does not answer; the job is to be tried again."""


class Worker:
    """One consumer of both queues."""

    def __init__(self, environment: Environment, logger: logging.Logger) -> None:
        self.logger = logger
        self.queues = connect(environment.redis_url, "nightscan-worker")
        self.database = Database(environment, "nightscan-worker", size=1)
        port = environment.get("services.prediction_port", 8002)
        self.predictions = environment.variables.get("LAB_ML_URL", f"http://127.0.0.1:{port}")

    def run(self) -> NoReturn:
        """Work until the process is told to end."""
        self.database.pool.open()
        while True:
            try:
                self._turn()
            except redis.RedisError as error:
                self.logger.warning("queues: %s", error)
                time.sleep(PAUSE)
            except NotNow as error:
                self.logger.warning("put back: %s", error)
                time.sleep(PAUSE)

    def _turn(self) -> None:
        """One task and one recording, if there are any."""
        task: Any = self.queues.rpop(TASKS)
        if task is not None:
            self.logger.debug("task done", extra={"task": task})
        taken: Any = self.queues.zpopmin(PREDICTIONS) if task else self.queues.bzpopmin(PREDICTIONS, IDLE)
        if not taken:
            return
        text = taken[0][0] if task else taken[1]
        try:
            self._classify(text)
        except (SystemExit, NotNow):
            self.queues.zadd(PREDICTIONS, {text: time.time()})
            raise

    def _classify(self, text: str) -> None:
        try:
            job = json.loads(text)
            number, path, filename = int(job["id"]), Path(job["path"]), str(job["filename"])
            content = path.read_bytes()
        except (ValueError, KeyError, TypeError, OSError) as error:
            self.logger.warning("job dropped: %s", error, extra={"job": text[:200]})
            return
        result = self._ask(filename, content)
        try:
            self.database.rows("UPDATE prediction SET result = %s WHERE id = %s", [json.dumps(result), number])
        except Unavailable as error:
            raise NotNow(str(error)) from error
        path.unlink(missing_ok=True)
        self.logger.info("recording classified", extra={"prediction": number, "result": result})

    def _ask(self, filename: str, content: bytes) -> dict[str, object]:
        try:
            answer = client.upload(self.predictions, "/predict/upload", filename, content, timeout=2.0)
        except (OSError, http.client.HTTPException) as error:
            raise NotNow(f"prediction service: {error}") from error
        told = answer.json()
        if answer.status >= 500 or not isinstance(told, dict):
            raise NotNow(f"prediction service: status {answer.status}")
        if not told.get("success"):
            return {"error": told.get("error")}
        return {"species": told["prediction"]["class"], "confidence": told["prediction"]["confidence"]}


def main() -> None:
    """Work as the environment says, until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    environment = read()
    logger = logging.getLogger("nightscan.worker")
    logs.configure(environment, logger)
    Worker(environment, logger).run()


if __name__ == "__main__":
    main()

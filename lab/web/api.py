"""The interface for programs: recordings are taken in, queued to be classified, and listed with their results."""

from __future__ import annotations

import time
import uuid
from pathlib import Path
from typing import Any

import redis
from flask import Blueprint, abort, jsonify, request
from flask.typing import ResponseReturnValue

from lab.web.database import Unavailable
from lab.web.metrics import PREDICTION_DURATION, PREDICTIONS
from lab.web.services import services

PAGE = 50
COLUMNS = "id, user_id, filename, file_size, result, created_at"

blueprint = Blueprint("api", __name__, url_prefix="/api/v1")


@blueprint.get("/predictions")
def predictions() -> ResponseReturnValue:
    """The latest recordings, of one user with `?user=ID`; `?limit=` up to 50."""
    user, limit = request.args.get("user", type=int), min(request.args.get("limit", PAGE, type=int), PAGE)
    if user is None:
        rows = services().database.rows(f"SELECT {COLUMNS} FROM prediction ORDER BY id DESC LIMIT %s", [limit])
    else:
        one = f"SELECT {COLUMNS} FROM prediction WHERE user_id = %s ORDER BY created_at DESC LIMIT %s"
        rows = services().database.rows(one, [user, limit])
    return jsonify(predictions=[_plain(row) for row in rows])


@blueprint.get("/predictions/<int:number>")
def prediction(number: int) -> ResponseReturnValue:
    """One recording; `result` is null until it was classified."""
    rows = services().database.rows(f"SELECT {COLUMNS} FROM prediction WHERE id = %s", [number])
    if not rows:
        abort(404, f'no prediction "{number}"')
    return jsonify(_plain(rows[0]))


@blueprint.post("/predictions")
def submit() -> ResponseReturnValue:
    """Take in the WAV of field `file`: 202 and its id; the result comes later, by the worker."""
    begun = time.perf_counter()
    try:
        number = _take_in()
    except (Unavailable, redis.RedisError, OSError):
        PREDICTIONS.labels("error").inc()
        raise
    PREDICTIONS.labels("success").inc()
    PREDICTION_DURATION.observe(time.perf_counter() - begun)
    return jsonify(id=number, status="queued"), 202


def _take_in() -> int:
    sent = request.files.get("file")
    if sent is None or not sent.filename:
        abort(400, 'no file in the field "file"')
    content = sent.read()
    if content[:4] != b"RIFF":
        abort(415, f'"{sent.filename}" is not a WAV file')
    here = services()
    user = request.form.get("user", 1, type=int)
    with here.database.transaction() as connection:
        insert = "INSERT INTO prediction (user_id, filename, file_size) VALUES (%s, %s, %s) RETURNING id"
        number = connection.execute(insert, [user, sent.filename[:200], len(content)]).fetchall()[0]["id"]
        path = here.environment.uploads / f"{uuid.uuid4().hex}.wav"
        _store(path, content)
        # Inside the transaction: a recording that cannot be queued leaves no row that waits for ever.
        here.cache.enqueue({"id": number, "path": str(path), "filename": sent.filename})
    return int(number)


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "created_at": row["created_at"].isoformat()}


def _store(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)

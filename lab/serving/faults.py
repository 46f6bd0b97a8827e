"""Misbehaviour on purpose: rules in `LAB_DIR/SERVICE-faults.json`, read again when the file changes, no restart needed.

No file, or `{}`, is good behaviour. A file that is half written is none until it is whole. Keys, each optional:

    "slow":   RULE + {"seconds": 3}                answers late
    "status": RULE + {"code": 500}                 answers this status instead
    "body":   RULE + {"json": ...} or {"text": "<html>", "type": "text/html", "code": 200}   answers this instead
    "version": "0.9.9"             /health says this version
    "not_ready": ["cache", ...]    web: /ready says false for these
    "no_security_headers": true    web: leaves its own security headers away (a list of names: only those)
    "insecure_cookie": true        web: cookies without Secure, HttpOnly and SameSite
    "metrics_down": true           web: /metrics answers 503
    "log_errors": true             writes an ERROR record with every request
    "log_silent": true             writes no record at all
    "log_kept": true               goes on writing to the log file that it has open, wherever that was moved
    "wrong_class": 0.5             ml: this share of predictions names another class

    "until_restart": {"slow": 1763848800.0}        these keys count in services that were started before that time only

RULE is {"path": "/login", "share": 0.1, "after": 60, "lasts": 5}, or a list of them. `path` is a pattern as of fnmatch, every
path without it; `share` is the part of the matching requests that is hit, all of them without it; `after` is how many
seconds the service has run when it begins; `lasts` is for how many seconds from the first hit on, for ever without it. Hits
are spread evenly in each worker process and begin with the first request, so that a fault in place is a fault that shows.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from flask import Flask, Response, jsonify, make_response, request
from flask.typing import ResponseReturnValue

FILE = "{service}-faults.json"
UNTIL_RESTART = "until_restart"


class Faults:
    """The faults in place for one service, as its file says now."""

    def __init__(self, folder: Path, service: str, own: Mapping[str, Any] | None = None) -> None:
        """OWN are the rules of its version, which those of the file come on top of."""
        self.path = folder / FILE.format(service=service)
        self._own = dict(own or {})
        self._seen: tuple[int, int, int] | None = None
        self._rules: dict[str, Any] = {}
        self._due: defaultdict[str, float] = defaultdict(lambda: 1.0)
        self._first: dict[str, float] = {}
        self._born = time.time()
        self._lock = threading.Lock()

    def get(self, key: str) -> Any:
        """Value of KEY, None when this fault is not in place."""
        return self._current().get(key, self._own.get(key))

    def hit(self, key: str, path: str) -> dict[str, Any] | None:
        """The rule of KEY that strikes this request for PATH, if one does."""
        rules = self.get(key) or []
        for rule in rules if isinstance(rules, list) else [rules]:
            if fnmatchcase(path, rule.get("path", "*")) and self._strikes(key, rule):
                return dict(rule)
        return None

    def _strikes(self, key: str, rule: dict[str, Any]) -> bool:
        """Whether the RULE of KEY, whose path fits, strikes now: it is not over, and it is its turn."""
        name, now = f"{key} {rule}", time.monotonic()
        if time.time() - self._born < rule.get("after", 0):
            return False
        if now - self._first.setdefault(name, now) > rule.get("lasts", math.inf):
            return False
        return self.strikes(name, rule.get("share", 1.0))

    def strikes(self, name: str, share: float) -> bool:
        """Whether this occurrence of NAME is of the SHARE that is hit: the first one is, then each 1/SHARE-th."""
        with self._lock:
            due = self._due[name]
            struck = due >= 1.0 and share > 0
            # Rounded, so that ten shares of 0.1 make a whole one.
            self._due[name] = round(due - struck + share, 9)
        return struck

    def _current(self) -> dict[str, Any]:
        try:
            state = self.path.stat()
            seen = (state.st_ino, state.st_mtime_ns, state.st_size)
            if seen != self._seen:
                self._rules = self._of_now(json.loads(self.path.read_bytes() or b"{}"))
                self._seen = seen
                self._due.clear()
                self._first.clear()
        except (OSError, ValueError):
            # Absent or half written: the rules of the file that was here before are over either way.
            self._seen, self._rules = None, {}
        return self._rules

    def _of_now(self, rules: dict[str, Any]) -> dict[str, Any]:
        """RULES without those that a restart has ended."""
        ended = {name for name, moment in rules.pop(UNTIL_RESTART, {}).items() if moment < self._born}
        return {name: rule for name, rule in rules.items() if name not in ended}


def install(app: Flask, faults: Faults) -> None:
    """Let every request of APP suffer the FAULTS in place."""

    @app.before_request
    def misbehave() -> ResponseReturnValue | None:
        if slow := faults.hit("slow", request.path):
            time.sleep(slow["seconds"])
        if faults.get("log_errors"):
            app.logger.error("fault in place: an error with every request", extra={"path": request.path})
        if status := faults.hit("status", request.path):
            return jsonify(error="fault in place"), status["code"]
        if body := faults.hit("body", request.path):
            return _instead(body)
        return None


def _instead(rule: dict[str, Any]) -> Response:
    answer = jsonify(rule["json"]) if "json" in rule else make_response(rule["text"])
    answer.status_code = rule.get("code", 200)
    if "type" in rule:
        answer.content_type = rule["type"]
    return answer

"""The prediction service's interface: health, the models' status, and a class for an uploaded recording."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import PurePath
from threading import Lock

from flask import Flask, jsonify, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from lab.ml import wav
from lab.ml.classifier import NAME, BadModel
from lab.ml.store import Store
from lab.serving import access, faults, logs, versions
from lab.serving.clock import timestamp
from lab.serving.environment import Environment

SUPPORTED = ".wav"


class Service:
    """The views and what they share: the model and the counts of predictions."""

    def __init__(self, environment: Environment, app: Flask) -> None:
        self.environment = environment
        self.faults = faults.Faults(environment.folder, "ml", versions.rules(environment.version, "ml"))
        self.store = Store(environment.home / environment.get("ml.models_directory", "models"), app.logger)
        self._counts: Counter[str] = Counter()
        self._lock = Lock()

    def health(self) -> ResponseReturnValue:
        """The process answers."""
        version = self.faults.get("version") or self.environment.version
        return jsonify(status="healthy", timestamp=timestamp(), version=version)

    def models(self) -> ResponseReturnValue:
        """How the model is; the lab has the one for audio, none for photos."""
        status = self.store.status()
        with self._lock:
            stats = {f"{name}_predictions": self._counts[name] for name in ("total", "successful", "failed")}
        answer = {"success": status["loaded"], "models": {NAME: status}, "router_stats": stats}
        if not status["loaded"]:
            return jsonify(answer | {"error": status["error"]}), 500
        return jsonify(answer)

    def predict(self) -> ResponseReturnValue:
        """The class of the recording in the field `file`."""
        sent = request.files.get("file")
        if sent is None or not sent.filename:
            return _refuse(400, 'no file in the field "file"')
        if PurePath(sent.filename).suffix.lower() != SUPPORTED:
            return _refuse(415, f'"{sent.filename}" is not of a supported type (supported: {SUPPORTED})')
        begun = time.perf_counter()
        try:
            prediction = self._classify(sent.read())
        except wav.NotWav as error:
            self._count("failed")
            return _refuse(400, str(error))
        except BadModel as error:
            self._count("failed")
            return _refuse(503, f"no model: {error}")
        self._count("successful")
        prediction["processing_time"] = round(time.perf_counter() - begun, 4)
        return jsonify(success=True, prediction=prediction, upload_filename=sent.filename)

    def _classify(self, content: bytes) -> dict[str, object]:
        signal = wav.read(content)
        model, status = self.store.current()
        probabilities = model.probabilities(signal)
        ranked = sorted(probabilities, key=lambda name: -probabilities[name])
        if (share := self.faults.get("wrong_class")) and self.faults.strikes("wrong_class", share):
            ranked = ranked[1:]
        return {
            "class": ranked[0],
            "confidence": round(probabilities[ranked[0]], 4),
            "model": status["name"],
            "version": status["version"],
            "probabilities": {name: round(value, 4) for name, value in probabilities.items()},
        }

    def _count(self, outcome: str) -> None:
        with self._lock:
            self._counts.update(("total", outcome))


def create(environment: Environment) -> Flask:
    """The application that ENVIRONMENT describes, with its model loaded."""
    app = Flask("lab.ml")
    app.logger.name = "nightscan.ml"
    app.config["MAX_CONTENT_LENGTH"] = environment.get("services.max_file_size", 50 * 1024 * 1024)
    service = Service(environment, app)
    logs.configure(environment, app.logger, service.faults.get)
    access.install(app)
    app.register_error_handler(HTTPException, _explain)
    faults.install(app, service.faults)
    app.add_url_rule("/health", view_func=service.health)
    app.add_url_rule("/models/status", view_func=service.models)
    app.add_url_rule("/predict/upload", view_func=service.predict, methods=["POST"])
    service.store.status()
    return app


def _explain(error: HTTPException) -> ResponseReturnValue:
    """Every error in the interface's own words."""
    return _refuse(error.code or 500, error.description or error.name)


def _refuse(status: int, error: str) -> ResponseReturnValue:
    return jsonify(success=False, error=error), status

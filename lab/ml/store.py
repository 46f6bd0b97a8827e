"""Holds the model in use: loads it from its folder, notices when its files change, and says what is wrong with them."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from lab.ml import classifier
from lab.ml.classifier import BadModel, Model
from lab.serving.clock import timestamp

Stamp = tuple[tuple[int, int, int], ...]
SETTLE = 0.1
"""Seconds after which files that did not fit together are read again: a model may just be being replaced."""


class Store:
    """The model of one folder, as its files are now."""

    def __init__(self, folder: Path, logger: logging.Logger) -> None:
        self.folder, self._logger = folder, logger
        self._lock = threading.Lock()
        self._stamp: Stamp | None = None
        self._model: Model | None = None
        self._status: dict[str, Any] = {}

    def current(self) -> tuple[Model, dict[str, Any]]:
        """The model and what is to be told of it; BadModel when its files cannot be used."""
        with self._lock:
            stamp = self._look()
            if stamp != self._stamp:
                self._load()
                self._stamp = stamp
            if self._model is None:
                raise BadModel(self._status["error"])
            return self._model, self._status

    def status(self) -> dict[str, Any]:
        """What /models/status says of the model, loaded or not."""
        try:
            return self.current()[1]
        except BadModel:
            return self._status

    def _look(self) -> Stamp:
        stamp = []
        for file in sorted(self.folder.glob("[!.]*")):
            with suppress(FileNotFoundError):
                state = file.stat()
                stamp.append((state.st_ino, state.st_mtime_ns, state.st_size))
        return tuple(stamp)

    def _load(self) -> None:
        """Load the model, and drop the one before even when the new one is bad: it is no longer what was deployed."""
        try:
            self._model, metadata = self._read()
        except BadModel as error:
            self._logger.error("cannot load the model: %s", error)
            self._model, self._status = None, {"loaded": False, "error": str(error)}
            return
        told = {key: metadata.get(key) for key in ("name", "version", "classes", "accuracy", "sha256")}
        self._status = {"loaded": True, **told, "loaded_at": timestamp()}
        self._logger.info("model loaded", extra={"model": told["name"], "version": told["version"]})

    def _read(self) -> tuple[Model, dict[str, Any]]:
        try:
            return classifier.load(self.folder)
        except BadModel:
            time.sleep(SETTLE)
            return classifier.load(self.folder)

"""Writes the log that operations reads: one JSON object a line, one file for all processes, rotated by size."""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from lab.serving.clock import timestamp
from lab.serving.environment import Environment

STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """{timestamp, level, logger, module, message}, what the caller gave as `extra`, and the exception if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        entry = {
            "timestamp": timestamp(record.created),
            "level": record.levelname,
            "logger": record.name,
            "module": record.module,
            "message": record.getMessage(),
            "process": record.process,
        }
        entry |= {key: value for key, value in vars(record).items() if key not in STANDARD}
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


class SharedFile(logging.Handler):
    """Appends whole lines to a file that other processes write to, too; whoever fills it rotates it.

    A line is one `write` to a descriptor opened for appending, so lines never mix. A file that was moved away, by another
    process or by logrotate, is noticed by its inode, but not while KEPT() is true.
    """

    def __init__(self, path: Path, max_bytes: int, backups: int, kept: Callable[[], object] = lambda: False) -> None:
        super().__init__()
        self.path, self.max_bytes, self.backups, self._kept = path, max_bytes, backups, kept
        self._descriptor = -1
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(OSError):  # said with the first line
            self._open()

    def emit(self, record: logging.LogRecord) -> None:
        """Append one line; what cannot be written is lost, the service is not."""
        try:
            line = self.format(record).encode() + b"\n"
            if not (self._is_current() or (self._descriptor >= 0 and self._kept())):
                self._open()
            os.write(self._descriptor, line)
            if os.fstat(self._descriptor).st_size >= self.max_bytes:
                self._rotate()
        except OSError:
            # A full disk is said on standard error.
            self.handleError(record)

    def close(self) -> None:
        """Give the descriptor back."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        super().close()

    def _is_current(self) -> bool:
        try:
            return self._descriptor >= 0 and os.path.samestat(os.fstat(self._descriptor), self.path.stat())
        except FileNotFoundError:
            return False

    def _open(self) -> None:
        """Give the descriptor back."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self._descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)

    def _rotate(self) -> None:
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            if self._is_current():
                for number in range(self.backups - 1, 0, -1):
                    numbered = self.path.with_name(f"{self.path.name}.{number}")
                    if numbered.exists():
                        numbered.replace(self.path.with_name(f"{self.path.name}.{number + 1}"))
                self.path.replace(self.path.with_name(f"{self.path.name}.1"))
        finally:
            os.close(folder)


def configure(
    environment: Environment, logger: logging.Logger, broken: Callable[[str], object] = lambda fault: None
) -> None:
    """Send what LOGGER says to the system's log file; BROKEN says whether a fault of lab/serving/faults.py is in place."""
    handler = SharedFile(
        environment.log_file,
        environment.get("logging.max_file_size", 10 * 1024 * 1024),
        max(1, environment.get("logging.backup_count", 5)),
        kept=lambda: broken("log_kept"),
    )
    handler.setFormatter(JsonLines())
    handler.addFilter(lambda record: not broken("log_silent"))
    logger.handlers = [handler]
    logger.propagate = False
    logger.setLevel(environment.get("logging.level", "INFO").upper())

"""What a check prints and logs belongs to that check, without secrets, also while many run at once.

pytest captures per phase of the item that its own loop has reached; a check that runs ahead of it would print into another's
capture, or between two straight to the terminal.
"""

from __future__ import annotations

import builtins
import io
import logging
from collections.abc import Callable
from typing import Any

from pytest_runbook.evidence.context import current
from pytest_runbook.evidence.redaction import Redactor


class Output:
    """Routes `print` and logging of running checks to their notebooks while installed."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._print: Callable[..., None] = builtins.print
        self._factory = logging.getLogRecordFactory()
        self._handler = _NotebookHandler()

    def install(self) -> None:
        """Take over `print`, the log record factory, and listen on the root logger."""
        builtins.print = self._routed
        logging.setLogRecordFactory(self._record)
        logging.getLogger().addHandler(self._handler)

    def remove(self) -> None:
        """Put back what `install` replaced."""
        builtins.print = self._print
        logging.setLogRecordFactory(self._factory)
        logging.getLogger().removeHandler(self._handler)

    def _routed(self, *values: object, **options: Any) -> None:
        notebook = current()
        if notebook is None or options.get("file") is not None:
            self._print(*values, **options)
            return
        text = io.StringIO()
        self._print(*values, **{**options, "file": text, "flush": False})
        notebook.output.append(self._redactor.text(text.getvalue()))

    def _record(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record = self._factory(*args, **kwargs)
        said = record.getMessage() if _formats(record) else str(record.msg)
        clean = self._redactor.text(said)
        if clean != said:
            record.msg, record.args = clean, ()
        if record.exc_info and record.exc_info[1] is not None:
            self._redactor.exception(record.exc_info[1])
        return record


class _NotebookHandler(logging.Handler):
    """Keeps the log lines of a running check in its notebook."""

    def emit(self, record: logging.LogRecord) -> None:
        notebook = current()
        if notebook is not None:
            notebook.log.append(f"{record.levelname} {record.name}: {record.getMessage()}")


def _formats(record: logging.LogRecord) -> bool:
    """Whether the message of RECORD fits its arguments; logging itself reports it when it does not."""
    try:
        record.getMessage()
    except (TypeError, ValueError):
        return False
    return True

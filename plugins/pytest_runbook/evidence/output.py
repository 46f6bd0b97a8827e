"""What a check prints and logs belongs to that check, without secrets, also while many run at once.

pytest captures per phase of the item that its own loop has reached; a check that runs ahead of it would print into another's
capture, or between two straight to the terminal.
"""

from __future__ import annotations

import builtins
import io
import logging
import sys
from collections.abc import Callable, Iterable
from typing import Any, TextIO, cast

from pytest_runbook.evidence.context import current
from pytest_runbook.evidence.redaction import Redactor


class _Loggers(dict[str, Any]):
    """The registry of loggers: pytest walks it at every phase, while libraries that checks import in threads add to it."""

    def values(self) -> Any:
        return list(super().values())


class Output:
    """Routes `print` and logging of running checks to their notebooks while installed."""

    def __init__(self, redactor: Redactor, captured: bool) -> None:
        """CAPTURED says whether pytest captures; when it does not, the streams themselves are made to redact."""
        self._redactor = redactor
        self._captured = captured
        self._streams = (sys.stdout, sys.stderr)
        self._print: Callable[..., None] = builtins.print
        self._factory = logging.getLogRecordFactory()
        self._handler = _NotebookHandler()

    def install(self) -> None:
        """Take over `print`, the log record factory, and listen on the root logger."""
        builtins.print = self._routed
        _registry(_Loggers)
        logging.setLogRecordFactory(self._record)
        logging.getLogger().addHandler(self._handler)
        if not self._captured:
            self._streams = (sys.stdout, sys.stderr)
            sys.stdout, sys.stderr = (cast("TextIO", _Redacting(stream, self._redactor)) for stream in self._streams)

    def remove(self) -> None:
        """Put back what `install` replaced."""
        builtins.print = self._print
        _registry(dict)
        logging.setLogRecordFactory(self._factory)
        logging.getLogger().removeHandler(self._handler)
        if not self._captured:
            sys.stdout, sys.stderr = self._streams

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
        if record.exc_info and record.exc_info[0] is not None:
            # A formatter prints this text as it is, instead of the exception with whatever it holds.
            record.exc_text = self._redactor.text(logging.Formatter().formatException(record.exc_info))
        return record


def _registry(kind: type[dict[str, Any]]) -> None:
    """Make logging's registry of loggers a KIND, while nobody else changes it."""
    with logging._lock:  # type: ignore[attr-defined]
        manager = logging.root.manager
        manager.loggerDict = kind(manager.loggerDict)


class _Redacting:
    """A stream without secrets; everything but writing is the stream's own."""

    def __init__(self, stream: TextIO, redactor: Redactor) -> None:
        self._stream = stream
        self._redactor = redactor

    def write(self, text: str) -> int:
        return self._stream.write(self._redactor.text(text))

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def guard(writer: object, redactor: Redactor) -> None:
    """Let nothing through pytest's terminal WRITER with a secret in it, whoever hands it over."""
    stream = getattr(writer, "_file", None)
    if stream is not None:
        writer._file = _Redacting(stream, redactor)  # type: ignore[attr-defined]


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

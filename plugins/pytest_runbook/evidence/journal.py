"""The journal: one append-only file of JSON lines per run, from which every report and figure derives.

Record types, each with `schema`, `type` and `at`:
`run-started` (the head of the run) · `observation`, `measurement`, `attempt` (with `check`, an id) · `result` (a check; the lines
of its parts stand before it, and when something was done for the check all of them come again, in place of the earlier ones)
· `decision` (what diagnosis or a policy made of a result) · `intent` (a step of a runbook is about to act), `step` (what came of
one), `verification` (whether the checks pass since) · `problem` · `run-finished`. No `run-finished`: the run was killed.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from pytest_runbook import clock
from pytest_runbook.errors import RunbookError, UsageError
from pytest_runbook.evidence.redaction import Redactor
from pytest_runbook.model import SCHEMA, Attempt, Measurement, Observation, Result, RunRecord, Waiver, members

NAME = "journal.jsonl"
DETAILS = (
    ("observation", "evidence", Observation),
    ("measurement", "measurements", Measurement),
    ("attempt", "attempts", Attempt),
)
"""Parts of a result that have lines of their own: record type, field, class."""
ENDING = ("finished", "duration", "exit_code", "interrupted", "reasons", "runbooks")
"""What is known of a run only when it ends."""

_JSON = json.JSONEncoder(ensure_ascii=False, default=members)


class Journal:
    """Writes redacted records, a line each, flushed each; a full disk is a problem of the run, not its end."""

    def __init__(self, folder: Path, redactor: Redactor) -> None:
        """Open (and create) FOLDER/journal.jsonl for appending; raises OSError when that cannot be.

        Raises UsageError when a run that goes on writes it: two of them in one file would read as one.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / NAME
        self.redactor = redactor
        self.failure: str | None = None
        """Why writing stopped, if it did."""
        self._file = self.path.open("a", encoding="utf-8", errors="backslashreplace")
        if not _lock(self._file):
            self._file.close()
            raise UsageError(
                f'another run writes its journal and reports in "{folder}"\n'
                "  hint: wait until it has ended, or name another folder with --report"
            )
        _mend(self.path)

    def write(self, kind: str, **data: Any) -> None:
        """Append a record of type KIND; DATA is redacted here."""
        self._append([_line(kind, _JSON.encode(self.redactor.value(data)))])

    def result(self, result: Result) -> None:
        """Append RESULT: its observations, measurements and attempts first, then itself."""
        check, body = {"check": result.check.id}, members(result)
        parts = [(kind, check | members(part)) for kind, name, _ in DETAILS for part in body.pop(name)]
        self._append([_line(kind, self._redacted(data)) for kind, data in (*parts, ("result", body))])

    def close(self) -> None:
        """Close the file; nothing more is written."""
        try:
            self._file.close()
        except OSError as error:
            self.failure = self.failure or str(error)

    def _redacted(self, data: dict[str, Any]) -> str:
        """DATA as JSON; taken apart and redacted text by text only when the whole is suspect, which is seldom."""
        text = _JSON.encode(data)
        return _JSON.encode(self.redactor.value(json.loads(text))) if self.redactor.suspects(text) else text

    def _append(self, lines: list[str]) -> None:
        if self.failure is not None or self._file.closed:
            return
        try:
            self._file.write("\n".join(lines) + "\n")
            self._file.flush()
        except OSError as error:
            self.failure = str(error)


def _line(kind: str, data: str) -> str:
    """A record of type KIND with the members of DATA, a JSON object."""
    return f'{{"schema": {SCHEMA}, "type": "{kind}", "at": "{clock.iso(clock.now())}", {data[1:]}'


def _lock(file: TextIO) -> bool:
    """Keep other runs out of FILE until it is closed, or this process dies; False when one has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # there are no locks on that filesystem
        pass
    return True


def _mend(path: Path) -> None:
    """Take away the line that a kill cut off, so that the next one does not become a part of it."""
    if path.exists() and not (told := path.read_bytes()).endswith(b"\n"):
        os.truncate(path, told.rfind(b"\n") + 1)


def records(path: Path) -> Iterator[dict[str, Any]]:
    """The records of the journal at PATH, oldest first; a last line cut off by a kill is left out."""
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            try:
                record = json.loads(line)
            except json.JSONDecodeError:
                if line.endswith("\n"):
                    raise RunbookError(
                        f'line {number} of "{path}" is not JSON\n  hint: the journal was edited or is damaged'
                    ) from None
                return
            yield record


def read(path: Path) -> RunRecord:
    """The run that the journal at PATH tells; `finished` is None when it never ended.

    Raises RunbookError when the file is no journal or is of a later schema.
    """
    run: RunRecord | None = None
    results: dict[str, Result] = {}
    parts: dict[tuple[str, str], list[Any]] = {}
    fields = {kind: (name, shape) for kind, name, shape in DETAILS}
    for record in records(path):
        kind = record["type"]
        if record["schema"] > SCHEMA:
            raise RunbookError(
                f'schema {record["schema"]} of "{path}" is later than {SCHEMA}\n  hint: update pytest-runbook'
            )
        if kind == "run-started":  # of the last run, when a folder is used again
            results.clear()
            parts.clear()
            run = RunRecord.from_json(record["run"])
        elif kind in fields:
            name, shape = fields[kind]
            parts.setdefault((record["check"], name), []).append(shape.from_json(record))
        elif kind == "result":
            result = Result.from_json(record)
            for name, _ in fields.values():
                setattr(result, name, parts.pop((result.check.id, name), []))
            results[result.check.id] = result
        elif kind == "decision":
            _decide(results[record["check"]], record)
        elif run is not None:
            _note(run, kind, record)
    if run is None:
        raise RunbookError(f'"{path}" is not the journal of a run: it has no record "run-started"')
    run.results = list(results.values())
    return run


def _decide(result: Result, record: dict[str, Any]) -> None:
    result.outcome, result.root = record["outcome"], record["root"]
    result.waiver = Waiver.from_json(record["waiver"]) if record["waiver"] else result.waiver


def _note(run: RunRecord, kind: str, record: dict[str, Any]) -> None:
    if kind == "problem":
        run.problems.append(record["text"])
    elif kind == "run-finished":
        for name in ENDING:
            setattr(run, name, record.get(name, getattr(run, name)))

"""Fills the folder that Allure reads: results, attachments, and what Allure shows around them."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attr
from allure_commons.model2 import ATTACHMENT_PATTERN, Attachment
from allure_commons.types import AttachmentType
from pytest_runbook.model import Outcome, Result, RunRecord

from runbook_reports import itself, wording
from runbook_reports.allure.results import converted, identity_of
from runbook_reports.story import Story

_LONGEST = 200_000
"""Characters of one attachment."""

CATEGORIES = (
    ("Blocked by another failure", ["broken"], r"^blocked by [\s\S]*$"),
    ("Could not be measured", ["broken"], r"^unmeasured: [\s\S]*$"),
    ("Timed out", ["broken"], r"^timed-out: [\s\S]*$"),
    ("Still failing after remediation", ["failed"], r"^still-failing: [\s\S]*$"),
    ("Failed", ["failed"], r"^[\s\S]*$"),
    ("Remediated", ["passed"], r"^remediated: [\s\S]*$"),
    ("Waived", ["skipped"], r"^waived [\s\S]*$"),
    ("Skipped", ["skipped"], r"^[\s\S]*$"),
)
"""Name, statuses and what the message begins with; a result belongs to the first that fits."""


def fill(folder: Path, record: RunRecord, *, clean: bool, environ: Mapping[str, str] = os.environ) -> Path:
    """Write RECORD to FOLDER; ENVIRON tells which CI system runs this."""
    if clean:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    for result in itself.results(record):
        attach = _Attach(folder, identity_of(result, record))
        shown = converted(result, record, attach)
        shown.attachments = [attach(title, content, kind) for title, kind, content in _attachments(result)]
        # Not by allure_commons' own logger: it encodes in pure Python and by way of a second file, which for
        # 10,000 results took 5.5 s where this takes 2.
        _put(
            folder / shown.file_pattern.format(prefix=shown.uuid),
            json.dumps(shown, ensure_ascii=False, default=_members),
        )
    _put(folder / "environment.properties", "".join(_environment(record)))
    _put(folder / "categories.json", _json([_category(*category) for category in CATEGORIES]))
    if executor := _executor(environ):
        _put(folder / "executor.json", _json(executor))
    return folder


def configuration(folder: Path, record: RunRecord) -> Path:
    """Write what Allure 3 reads beside the results: it takes name and categories from its configuration only."""
    awesome = {"options": {"singleFile": True, "groupBy": ["feature", "story"]}}
    title = f"{Story(record).verdict} · {Story(record).title}"
    settings = {"name": title, "output": "./allure-report", "plugins": {"awesome": awesome}}
    categories = [_category(*category) for category in CATEGORIES]
    path = folder / "allurerc.json"
    _put(path, _json({**settings, "categories": categories}))
    return path


def _put(path: Path, text: str) -> None:
    path.write_bytes(text.encode("utf-8", "replace"))


def _members(item: Any) -> dict[str, Any]:
    """What is set in an item of Allure's model, as its own logger writes it."""
    members = ((field.name, getattr(item, field.name)) for field in attr.fields(type(item)))
    return {name: value for name, value in members if value or value is False}


def _attachments(result: Result) -> Iterator[tuple[str, AttachmentType, str]]:
    """What one wants to see of a result that is not green; a green one has its observations as steps."""
    if result.outcome == Outcome.PASSED:
        return
    if result.evidence:
        seen = [observation.to_json() for observation in result.evidence]
        yield "evidence", AttachmentType.JSON, _json(seen)
    if result.traceback:
        yield "traceback", AttachmentType.TEXT, result.traceback
    for title, content in result.sections:
        yield wording.one_line(title), AttachmentType.TEXT, content


class _Attach:
    """Keeps what belongs to one result in files beside it."""

    def __init__(self, folder: Path, prefix: str) -> None:
        self._folder, self._prefix, self._number = folder, prefix, 0

    def __call__(self, title: str, content: str, kind: AttachmentType = AttachmentType.TEXT) -> Any:
        name = ATTACHMENT_PATTERN.format(prefix=f"{self._prefix}-{self._number}", ext=kind.extension)
        self._number += 1
        _put(self._folder / name, wording.clipped(content, _LONGEST))
        return Attachment(name=title, source=name, type=kind.mime_type)


def _environment(record: RunRecord) -> Iterator[str]:
    facts = {"system": record.system, "environment": record.environment, "selection": record.selection}
    facts |= {
        "gate": record.gate,
        "run": record.id,
        "host": record.host,
        "user": record.user,
        "remediation": record.remediation,
    }
    for name, value in (facts | record.versions).items():
        if value:
            yield f"{_property(name)} = {_property(value)}\n"


def _property(text: str) -> str:
    r"""TEXT as Java's properties want it: separators escaped, everything beyond ASCII as \\uXXXX."""
    escaped = re.sub(r"([\\=:#! ])", r"\\\1", wording.one_line(text))
    return "".join(c if c.isascii() else "".join(f"\\u{unit:04x}" for unit in _utf16(c)) for c in escaped)


def _utf16(character: str) -> memoryview:
    return memoryview(character.encode("utf-16-le")).cast("H")


def _category(name: str, statuses: list[str], message: str) -> dict[str, Any]:
    return {"name": name, "matchedStatuses": statuses, "messageRegex": message}


def _executor(environ: Mapping[str, str]) -> dict[str, Any] | None:
    """The CI system this run belongs to; None when a person or cron started it."""
    if environ.get("GITHUB_ACTIONS"):
        base = f"{environ.get('GITHUB_SERVER_URL', '')}/{environ.get('GITHUB_REPOSITORY', '')}"
        url, build = f"{base}/actions/runs/{environ.get('GITHUB_RUN_ID', '')}", environ.get("GITHUB_RUN_NUMBER", "")
        return _run("GitHub Actions", "github", url, environ.get("GITHUB_WORKFLOW", ""), build)
    if environ.get("GITLAB_CI"):
        url, build = environ.get("CI_JOB_URL", ""), environ.get("CI_PIPELINE_IID", "")
        return _run("GitLab CI", "gitlab", url, environ.get("CI_JOB_NAME", ""), build)
    if environ.get("JENKINS_URL"):
        url, build = environ.get("BUILD_URL", ""), environ.get("BUILD_NUMBER", "")
        return _run("Jenkins", "jenkins", url, environ.get("JOB_NAME", ""), build)
    return None


def _run(name: str, kind: str, url: str, job: str, build: str) -> dict[str, Any]:
    title = f"{job} #{build}".strip()
    known = {"name": name, "type": kind, "buildName": title, "buildUrl": url, "reportName": title}
    return {**known, **({"buildOrder": int(build)} if build.isdigit() else {})}


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)

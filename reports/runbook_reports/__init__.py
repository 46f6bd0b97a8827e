"""Reports: a run record in, text or files out.

A renderer is a module or package of this folder (or an entry point of group `runbook_reports`) with `NAME` and
`render(record, folder)`; adding one touches no list.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Collection, Iterable
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    import pytest
    from pytest_runbook.model import RunRecord

__all__ = ["Renderer", "Writer", "adopt", "formats", "publish", "renderers"]

RECORD = "record"
"""The renderer that is no matter of choice: later runs, and whoever makes a report again, read what it writes."""

Writer = Callable[["RunRecord"], list[Path]]
"""Writes one report to a place that is already chosen; raises OSError."""


class Renderer(Protocol):
    """One form of the report.

    It may also have `adopt(config) -> Writer | None`: when pytest was told to write a report of this form (`--html=FILE`,
    `--junitxml=FILE`, `--alluredir=DIR`), take the order over, so that the file asked for is written from the record,
    redacted and complete, instead of being gathered test by test.
    """

    NAME: str

    def render(self, record: RunRecord, folder: Path) -> list[Path]:
        """Write RECORD below FOLDER; the files that a person would open. Raises OSError."""


@cache
def renderers() -> tuple[Renderer, ...]:
    """Every renderer of this folder and of installed entry points, by name; one of an entry point replaces ours."""
    ours = (importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__))
    theirs = (entry.load() for entry in entry_points(group="runbook_reports"))
    found = {item.NAME: cast("Renderer", item) for item in (*ours, *theirs) if hasattr(item, "NAME")}
    return tuple(found[name] for name in sorted(found))


def formats() -> list[str]:
    """Names of the reports that a run may do without: every renderer but that of the record."""
    return [renderer.NAME for renderer in renderers() if renderer.NAME != RECORD]


def adopt(config: pytest.Config) -> list[Writer]:
    """Take over the reports that pytest was told to write.

    To be called first thing in `pytest_configure`, on the controller; the writers belong into `publish`.
    """
    asked = (renderer.adopt(config) for renderer in renderers() if hasattr(renderer, "adopt"))
    return [writer for writer in asked if writer]


def publish(
    record: RunRecord, folder: Path, *, only: Collection[str] | None = None, also: Iterable[Writer] = ()
) -> list[Path]:
    """Write the reports of RECORD below FOLDER, and those of ALSO; the files that a person would open.

    ONLY names the `formats` wanted; None means all. The record itself is always written, and comes last: a report that
    cannot be written costs no other; why is added to the record's problems, and the run is not green.
    """

    def writer_of(renderer: Renderer) -> tuple[str, Writer]:
        return renderer.NAME, lambda record: renderer.render(record, folder)

    known = {renderer.NAME: renderer for renderer in renderers()}
    todo = [writer_of(known[name]) for name in formats() if only is None or name in only]
    todo += [(getattr(writer, "__module__", "report"), writer) for writer in also]
    written: list[Path] = []
    for name, writer in (*todo, writer_of(known[RECORD])):
        try:
            written += writer(record)
        except Exception as error:  # one report must never cost another, nor the run; the reason is kept and shown
            record.lacks(f'report "{name}" was not written: {type(error).__name__}: {error}')
    return written

"""Where the roots of files lie that a restore is asked for: what refuses it and what restores them look at the same."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_runbook.backup.restore import files

if TYPE_CHECKING:
    from pytest_runbook.backup.manifest import Manifest
    from pytest_runbook.settings import Settings


def wanted(settings: Settings, parts: Collection[str]) -> set[str]:
    """Names of the roots that belong to PARTS."""
    own = settings.backup.files
    configuration = set(own.configuration)
    names = {"files": set(own.roots) - configuration, "config": configuration}
    return set[str]().union(*(names[part] for part in names if part in parts))


def held(settings: Settings, root: Path, manifest: Manifest, parts: Collection[str]) -> dict[str, Path]:
    """Where those of them lie that the backup of MANIFEST holds, in the project in ROOT.

    Where a root is a link, what it leads to is exchanged, as that was backed up: the link stays.
    """
    names = wanted(settings, parts) & {files.root_of(name) for name in manifest.files or ()}
    given = settings.backup.files.roots
    return {name: Path(os.path.realpath(root / given[name])) for name in given if name in names}


def by_disk(there: dict[str, Path]) -> list[dict[str, Path]]:
    """The roots that are THERE, those whose folders lie on one disk together."""
    disks: dict[int, dict[str, Path]] = {}
    for name, path in there.items():
        disks.setdefault(path.parent.stat().st_dev, {})[name] = path
    return [*disks.values()]

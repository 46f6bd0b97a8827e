"""What a backup leaves out: after its restore that is only in what was put aside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_runbook.backup.manifest import Manifest
    from pytest_runbook.settings import Settings


def of(manifest: Manifest, parts: Sequence[str], settings: Settings) -> list[str]:
    """What of PARTS the backup of MANIFEST leaves out, in words; where it does not say it, what SETTINGS leave out."""
    found = []
    if "database" in parts and manifest.database:
        found += [f'rows of "{table}"' for table in manifest.database.excluded]
        found = [one for one in found if not any(one in told for told in manifest.database.unsaved)]
        found += manifest.database.unsaved
    if {"files", "config"} & set(parts) and manifest.files is not None:
        patterns = settings.backup.files.exclude if manifest.excluded is None else manifest.excluded
        found += [f'files like "{pattern}"' for pattern in patterns]
    return found


def warning(one: str) -> str:
    """What to say of ONE of these before the exchange."""
    return f"{one} are not in the backup: what there is of them now is put aside, and nowhere else"

"""The disaster of a drill: the lab's data are destroyed, as if its machine had burnt; off-site, the bucket, is all that is left.

Only folders and files of a lab that does not run are removed, each by its fixed name below the lab's own folder.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from lab import leftovers
from lab.site import LabError, Site

DATA = ("database", "standby", "cache", "replica", "nightscan")
"""Folders below that of the lab: the servers' data, and /opt/nightscan. The bucket, `storage`, is elsewhere."""


def strike(site: Site) -> list[Path]:
    """Destroy the data of the lab of SITE, which does not run; what was destroyed."""
    gone = [site.path(name) for name in DATA if os.path.lexists(site.path(name))]
    for path in gone:
        if why := refusal(site, path):
            raise LabError(f'"{path}" is not destroyed: {why}')
    for path in gone:
        shutil.rmtree(path)
    return gone


def refusal(site: Site, path: Path) -> str | None:
    """What speaks against destroying PATH; None when it is data of the lab of SITE. Changes nothing."""
    if not site.exists or not site.path("supervisor").is_dir():
        return f'there is no lab in "{site.folder}"'
    if path.name not in DATA or path.parent != site.folder:
        return "it is not among the data of a lab"
    if path.is_symlink() or not path.is_dir() or Path(os.path.realpath(path)) != path:
        return "it is no folder of its own"
    if any(os.path.ismount(inner) for inner in (path, *(one for one in path.rglob("*") if one.is_dir()))):
        return "something is mounted there"
    if leftovers.find(site.folder):
        return f"the lab runs\n  hint: python -m lab --dir {site.folder} down"
    return None

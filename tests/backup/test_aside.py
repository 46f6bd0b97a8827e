"""What lies beside the local backups for a while goes when nobody works on it, whoever looks, and not before."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pytest_runbook.backup import making
from pytest_runbook.backup.aside import SCRATCH, scratch

from tests.backup.filesystem import Filesystem, filesystem

CLEAN = (
    "import sys, pathlib; from pytest_runbook.backup.aside import remove_left; remove_left(pathlib.Path(sys.argv[1]))"
)


@pytest.fixture
def system(tmp_path: Path) -> Filesystem:
    return filesystem(tmp_path)


def test_what_is_somebody_elses_is_left_alone(system: Filesystem) -> None:
    place = making.local(system.loaded.settings, system.folder).folder
    place.mkdir(parents=True)
    gone = place / f"{SCRATCH}99999999-gone"
    gone.mkdir()
    gone.chmod(0)
    plainly = ["setpriv", "--bounding-set=-all"] if os.geteuid() == 0 else []
    subprocess.run([*plainly, sys.executable, "-c", CLEAN, str(place)], check=True)
    assert gone.is_dir()
    gone.chmod(0o700)
    subprocess.run([sys.executable, "-c", CLEAN, str(place)], check=True)
    assert not gone.exists()


def test_another_container_removes_what_was_left_and_nothing_that_is_worked_on(system: Filesystem) -> None:
    """There our process does not exist, and the folder is the same."""
    settings = system.loaded.settings
    place = making.local(settings, system.folder).folder
    left = place / f"{SCRATCH}99999999-left"
    left.mkdir(parents=True)
    with scratch(settings, system.folder) as folder:
        assert folder.parent == place
        (folder / "database").touch()
        as_root = ["--user", "--map-root-user"] if os.geteuid() else []
        argv = ["unshare", *as_root, "--pid", "--fork", sys.executable, "-c", CLEAN, str(place)]
        done = subprocess.run(argv, check=False, capture_output=True, text=True)
        if done.returncode and "unshare" in done.stderr:
            pytest.skip("this user may not have processes of its own")
        assert (done.returncode, done.stderr) == (0, "")
        assert ((folder / "database").exists(), left.exists()) == (True, False)
    assert not folder.exists()

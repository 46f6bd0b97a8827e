"""Files come back as they were saved, whatever they are called, and the folders that they lie in as well."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_runbook.backup import reading
from pytest_runbook.backup.restore import journal

from tests.backup.filesystem import Filesystem, filesystem


@pytest.fixture
def system(tmp_path: Path) -> Filesystem:
    return filesystem(tmp_path)


@pytest.mark.parametrize("name", ["C:\\photo\\x.wav", "..\\x", "\\", " ", "a\nb", "-rf", "ä"])
def test_whatever_users_call_a_file_it_can_be_restored(system: Filesystem, name: str) -> None:
    (system.uploads / name).write_text("fox")
    (system.uploads / f"link to {name}").symlink_to(name)
    made = system.backup()
    (system.uploads / name).unlink()
    assert system.restore(made).state == journal.DONE
    assert (system.uploads / name).read_text() == "fox"
    assert (system.uploads / f"link to {name}").read_text() == "fox"


@pytest.mark.parametrize("name", ["", ".", "..", "/", "/etc/passwd", "a/../b", "a//b", "a/./b", "a/", "a\0b"])
def test_a_path_that_leads_elsewhere_is_not_inside(name: str) -> None:
    assert not reading.inside(name)

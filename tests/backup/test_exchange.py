"""The exchange renames what a restore made and nothing else, and a journal that says nothing keeps nobody away."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_runbook.backup.restore import exchange
from pytest_runbook.backup.restore.journal import Journal, Swap
from pytest_runbook.errors import RestoreError


def test_a_journal_that_cannot_be_read_is_told_and_keeps_nobody_from_restoring(tmp_path: Path) -> None:
    one = Journal(tmp_path)
    made = one.begin("20260101T000000Z-abcd", "b", "s", [])
    (tmp_path / "20260101T000001Z-abcd").mkdir()
    (tmp_path / "20260101T000001Z-abcd" / "restore.json").write_text('{"version": 1}')
    said: list[str] = []
    assert [found.id for found in one.all(said.append)] == [made.id]
    assert len(said) == 1
    assert "cannot be read" in said[0]
    assert [found.id for found in one.open(said.append)] == [made.id]
    assert said[0] == said[1]
    (tmp_path / "20260101T000001Z-abcd.ended").touch()
    assert [found.id for found in one.open(said.append)] == [made.id]
    assert len(said) == 2, "what is at its end keeps nobody from anything"


@pytest.fixture(params=[0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    """What is made is readable for all, or for nobody else."""
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask")
def test_journals_lie_where_others_who_restore_may_write_theirs(tmp_path: Path) -> None:
    """As after a first restore by root; each is for who made it alone."""
    project = tmp_path / "project"
    project.mkdir()
    if os.geteuid() == 0:
        os.chown(project, 1234, 4321)
    project.chmod(0o2775)
    around = project.stat()
    one = Journal(project / "var" / "restores")
    one.begin("20260101T000000Z-abcd", "b", "s", [])
    for folder in (one.folder.parent, one.folder):
        made = folder.stat()
        assert (made.st_uid, made.st_gid, made.st_mode) == (around.st_uid, around.st_gid, around.st_mode), folder
    own = one.path("20260101T000000Z-abcd").stat()
    assert (own.st_uid, own.st_mode & 0o777) == (os.geteuid(), 0o700)
    one.folder.chmod(0o700)
    one.begin("20260101T000001Z-abcd", "b", "s", [])
    assert one.folder.stat().st_mode & 0o777 == 0o700, "what is there stays as it is"


def test_what_a_restore_did_not_make_is_never_removed(tmp_path: Path) -> None:
    one = Journal(tmp_path).begin("20260101T000000Z-abcd", "b", "s", [])
    tag = exchange.tag(one.id)
    ours, theirs = tmp_path / f"uploads.restore-{tag}", tmp_path / "uploads"
    for path in (ours, theirs):
        path.mkdir()
    assert exchange.refusal(ours, one) == "this restore did not make it"
    one.made = [str(ours), str(theirs), "/", str(tmp_path), f"{tmp_path}/link.restore-{tag}"]
    assert exchange.refusal(ours, one) is None
    for path in (theirs, Path("/"), tmp_path):
        assert exchange.refusal(path, one) == "this restore did not make it"
    link = tmp_path / f"link.restore-{tag}"
    link.symlink_to(theirs)
    assert "symbolic link" in str(exchange.refusal(link, one))
    said: list[str] = []
    exchange.remove_made(one, said.append)
    assert (ours.exists(), theirs.is_dir(), link.is_symlink(), len(said)) == (False, True, True, 4)


def test_names_that_are_both_there_are_left_to_a_person(tmp_path: Path) -> None:
    one = Journal(tmp_path).begin("20260101T000000Z-abcd", "b", "s", [])
    live, aside, made = (tmp_path / name for name in ("live", "aside", "made"))
    for path in (live, aside, made):
        path.mkdir()
    one.swaps = [Swap("path", str(live), str(aside), str(made))]
    with pytest.raises(RestoreError, match="there is both"):
        exchange.Exchange(None).forward(one)


@pytest.mark.parametrize("had", [True, False])
def test_exchanges_are_taken_back_as_often_as_anybody_likes(tmp_path: Path, had: bool) -> None:
    one = Journal(tmp_path / "journal").begin("20260101T000000Z-abcd", "b", "s", [])
    live, aside, made = (tmp_path / name for name in ("live", "aside", "made"))
    made.write_text("restored")
    if had:
        live.write_text("original")
    one.swaps = [Swap("path", str(live), str(aside), str(made))]
    renames = exchange.Exchange(None)
    renames.back(one)
    assert made.read_text() == "restored"
    renames.begin(one)
    for _ in range(2):
        renames.forward(one)
        assert (live.read_text(), aside.exists(), made.exists()) == ("restored", had, False)
        renames.begin(one)
    for _ in range(3):
        renames.back(one)
        assert (live.exists(), aside.exists(), made.read_text()) == (had, False, "restored")
    if had:
        made.unlink()
        with pytest.raises(RestoreError, match="there is neither"):
            renames.back(one)
        assert live.read_text() == "original"

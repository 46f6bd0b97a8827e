"""The version in a file of variables is switched with its record, at once or not at all, and nothing else changes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pytest_runbook.errors import ManagerError
from pytest_runbook.managers._versions import WRITE, VersionFile, switched, value

from tests.managers.here import local


def ask(*argv: str, text: str | None = None) -> str:
    done = local(argv, 20, text)
    if done.status:
        raise ManagerError(done.said)
    return done.output


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("VERSION=1.4.2", "1.4.2"),
        ("export VERSION = '1.4.2'  # the release\n", "1.4.2"),
        ('VERSION="1.4.2"\r\n', "1.4.2"),
        ("VERSION=1\nVERSION=2\n", "2"),
        ("# VERSION=1\nMY_VERSION=2\nVERSION_OLD=3\n", None),
        ("VERSION=\nLEVEL=info", None),
    ],
)
def test_version_is_read_as_a_shell_would(text: str, found: str | None) -> None:
    assert value(text, "VERSION") == found


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("A=1\nVERSION=1.0\nB=2\n", "A=1\nVERSION=2.0\nPREVIOUS_VERSION=1.0\nB=2\n"),
        ("VERSION=1.0", "VERSION=2.0\nPREVIOUS_VERSION=1.0"),
        ("VERSION='1.0' # tag\n", "VERSION='2.0' # tag\nPREVIOUS_VERSION=1.0\n"),
        ("PREVIOUS_VERSION='0.9'\nVERSION=1.0\n", "PREVIOUS_VERSION='1.0'\nVERSION=2.0\n"),
        ("VERSION=0.9\nVERSION=1.0\n", "VERSION=2.0\nVERSION=2.0\nPREVIOUS_VERSION=1.0\n"),
    ],
)
def test_switch_keeps_order_quotes_and_comments(text: str, wanted: str) -> None:
    assert switched(text, "VERSION", "1.0", "2.0") == wanted


@pytest.mark.parametrize(
    ("saved", "now", "wanted"),
    [
        ("A=1\nVERSION='1.0' # tag\n", "VERSION=2.0\n", "A=1\nVERSION='2.0' # tag\n"),
        ("VERSION=1.0\nB=2", "VERSION=2.0\nPREVIOUS_VERSION=1.0\n", "VERSION=2.0\nB=2\nPREVIOUS_VERSION=1.0\n"),
        ("VERSION=1.0\nPREVIOUS_VERSION=0.9\n", "VERSION=2.0\n", "VERSION=2.0\nPREVIOUS_VERSION=\n"),
        ("", "VERSION=2.0\n", "VERSION=2.0\n"),
        ("VERSION=1.0\nPREVIOUS_VERSION=0.9\n", "B=2\n", "VERSION=1.0\nPREVIOUS_VERSION=0.9\n"),
    ],
)
def test_what_takes_the_place_of_a_file_can_keep_its_versions(
    tmp_path: Path, saved: str, now: str, wanted: str
) -> None:
    path = tmp_path / ".env"
    path.write_text(now)
    assert VersionFile(ask, str(path), "VERSION").kept(saved) == wanted
    assert path.read_text() == now


def test_switch_to_what_is_set_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("VERSION=1.0\nPREVIOUS_VERSION=0.9\n")
    before = path.stat().st_ino
    VersionFile(ask, str(path), "VERSION").switch("1.0")
    assert path.read_text() == "VERSION=1.0\nPREVIOUS_VERSION=0.9\n"
    assert path.stat().st_ino == before


def test_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    real, link = tmp_path / "shared" / "env", tmp_path / ".env"
    real.write_text("VERSION=1.0\n")
    link.symlink_to(real)
    VersionFile(ask, str(link), "VERSION").switch("2.0")
    assert link.is_symlink()
    assert real.read_text() == "VERSION=2.0\nPREVIOUS_VERSION=1.0\n"


def test_content_that_is_cut_short_on_its_way_is_not_put_in_place(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("VERSION=1.0\nDB_PASSWORD=x\n")
    with pytest.raises(ManagerError, match="the new content was cut short"):
        ask("sh", "-c", WRITE, "write", str(path), "1000", text="VERSION=2.0\n")
    assert path.read_text() == "VERSION=1.0\nDB_PASSWORD=x\n"
    assert os.listdir(tmp_path) == [".env"]  # noqa: PTH208 - hidden files too


def test_file_without_the_variable_is_named(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("RELEASE=1.0\n")
    with pytest.raises(ManagerError) as caught:
        VersionFile(ask, str(path), "VERSION").switch("2.0")
    assert str(caught.value) == f'"{path}" does not say "VERSION"\n  hint: add the line VERSION=, with what runs now'


def test_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ManagerError, match=r"none/\.env"):
        VersionFile(ask, str(tmp_path / "none" / ".env"), "VERSION").current()

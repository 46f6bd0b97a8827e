"""A manifest of very many files takes no more memory than one of a few, and is read whatever its names are."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pyrage
import pytest
from pytest_runbook.backup.destinations.folder import Folder, FolderSettings
from pytest_runbook.backup.filelist import PIECE, File, Files, Reader
from pytest_runbook.backup.manifest import Head, Manifest
from pytest_runbook.errors import BackupError
from pytest_runbook.settings import Settings
from pytest_runbook.settings.backup import Backup, Encryption

MADE = ("20260101T000000Z", "shop", "staging", "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z", "test")
ONE = File(3, 0o644, 1.5, "0" * 64, "20260101T000000Z")
MANY = """
import re, sys
from pathlib import Path
from pytest_runbook.backup.filelist import Files
from pytest_runbook.backup.manifest import Manifest
from tests.backup.test_many_files import MADE, ONE
manifest = Manifest(*MADE, files=Files((f"uploads/{number:064}.wav", ONE) for number in range(100_000)))
with open(sys.argv[1], "w") as file:
    file.writelines(manifest.pieces())
with open(sys.argv[1], "rb") as file:
    found = Manifest.read(file)
peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())
print(len(found.files), len(found.needs), int(peak[1]) // 1024)
"""


def test_many_files_take_little_memory(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", MANY, str(tmp_path / "manifest.json")]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    files, needs, megabytes = map(int, done.stdout.split())
    assert (files, needs) == (100_000, 0)
    assert megabytes < 150, "a list of them in memory takes more"


@pytest.mark.parametrize(
    "name", ["uploads/ä ö.wav", 'uploads/"quoted"\n', os.fsdecode(b"uploads/\xff\xfe.wav"), "config"]
)
def test_names_come_back_as_they_were(name: str) -> None:
    manifest = Manifest(*MADE, files={name: ONE, "link": File(0, 0o777, 0.0, "", "", name)})
    text = manifest.text().encode(errors="backslashreplace")
    assert json.loads(text)["files"][name]["link"] is None
    found = Manifest.parse(text)
    assert found == manifest
    assert found.files
    assert found.files["link"].link == name


OLDER = "20250101T000000Z"


def large() -> Manifest:
    """A manifest of some MB; one of its files is in an older backup."""
    files = Files((f"uploads/{number:064}.wav", ONE) for number in range(20_000))
    files["uploads/older"] = File(5, 0o644, 1.5, "0" * 64, OLDER)
    return Manifest(*MADE, release="1.0", files=files)


def test_the_head_is_read_without_the_files() -> None:
    text = large().text().encode()
    stream = io.BytesIO(text)
    head = Head.read(stream)
    assert not isinstance(head, Manifest)
    assert stream.tell() < len(text) / 4
    assert (head.needs, head.held, head.release) == ({OLDER}, 60_005, "1.0")
    whole = Manifest.parse(text)
    assert (whole.needs, whole.held, whole.listed) == (head.needs, head.held, head.listed)


def test_the_head_of_an_older_manifest_is_read_from_the_whole() -> None:
    told = json.loads(large().text())
    del told["listed"]
    head = Head.read(io.BytesIO(json.dumps(told, sort_keys=True).encode()))
    assert (head.needs, head.held, head.release) == ({OLDER}, 60_005, "1.0")


def test_the_head_of_one_without_files() -> None:
    head = Head.read(io.BytesIO(Manifest(*MADE).text().encode()))
    assert (head.needs, head.held, head.summary) == (set(), 0, None)


def test_a_head_in_an_encrypted_place_is_read_without_the_files(tmp_path: Path) -> None:
    identity = pyrage.x25519.Identity.generate()
    (tmp_path / "key").touch(0o600)
    (tmp_path / "key").write_text(str(identity))
    encryption = Encryption(recipients=(str(identity.to_public()),), identity_file=tmp_path / "key")
    settings = Settings().model_copy(update={"backup": Backup(encryption=encryption)})
    place = Folder("other", FolderSettings(kind="folder", path=tmp_path / "other", encrypted=True), settings, tmp_path)
    (tmp_path / "given").write_text(large().text())
    place.write(MADE[0], "manifest.json", tmp_path / "given")
    assert place.head(MADE[0]).needs == {OLDER}
    assert place.manifest(MADE[0]) == large()


def test_a_manifest_without_files_is_another_than_one_of_none() -> None:
    assert Manifest.parse(Manifest(*MADE).text()).files is None
    assert Manifest.parse(Manifest(*MADE, files={}).text()).files == {}


def test_a_list_of_files_is_a_mapping() -> None:
    files = Files({"b": ONE, "a": ONE})
    files["c"] = File(0, 0, 0.0, "", "another")
    assert ([*files], len(files), "b" in files, files.get("z")) == (["a", "b", "c"], 3, True, None)
    assert (bool(files), bool(Files())) == (True, False)
    assert files.holders == {"20260101T000000Z", "another"}
    assert files.pop("a") == ONE
    assert [*files.items()] == [("b", ONE), ("c", files["c"])]
    assert [file.backup for file in files.values()] == ["20260101T000000Z", "another"]
    files.keep({"another"})
    assert [*files] == ["c"]
    with pytest.raises(KeyError, match="'a'"):
        del files["a"]


def test_a_disk_that_is_full_is_told() -> None:
    files = Files()
    files._rows.execute("PRAGMA max_page_count = 8")
    with pytest.raises(BackupError, match=r"temporary files: database or disk is full\n  hint: make room there"):
        files.update((f"uploads/{number:0200}", ONE) for number in range(1000))


@pytest.mark.parametrize("text", ['{"a": 1', '{"a" 1}', "{1: 2}", "{'a': 1}", '{"a": 1,}', ""])
def test_what_is_no_json_is_told(text: str) -> None:
    reader = Reader(io.BytesIO(text.encode()))
    with pytest.raises(ValueError, match=r"expected|Expecting|no text"):
        for _ in reader.members():
            reader.value()


@pytest.mark.parametrize("size", [PIECE - 8, PIECE - 1, PIECE, PIECE + 1])
def test_values_are_read_whole_wherever_they_are_cut(size: int) -> None:
    told = {"text": "x" * (size - 20), "number": 1234567890, "more": {"ä": [1, 2]}, "last": 7}
    reader = Reader(io.BytesIO(json.dumps(told, ensure_ascii=False).encode()))
    assert {key: reader.value() for key in reader.members()} == told
    assert reader.ahead() == ""

"""A manifest of very many files takes no more memory than one of a few, and is read whatever its names are."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pytest_runbook.backup.filelist import PIECE, File, Files, Reader
from pytest_runbook.backup.manifest import Manifest
from pytest_runbook.errors import BackupError

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

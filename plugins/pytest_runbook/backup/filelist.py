"""The list of a backup's files: a mapping that lies on disk, so that millions of them take no memory, and the JSON of one
read piece by piece.
"""

from __future__ import annotations

import codecs
import json
import os
import sqlite3
from collections.abc import Collection, ItemsView, Iterable, Iterator, Mapping, MutableMapping, ValuesView
from dataclasses import dataclass
from typing import Any, BinaryIO

from pytest_runbook.errors import BackupError
from pytest_runbook.model import Record

COLUMNS = "size, mode, mtime, sha256, backup, link, ctime, folder, owner"
SETUP = f"""
    PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -8192;
    CREATE TABLE file (name BLOB PRIMARY KEY, {", ".join(COLUMNS.split(", "))}) WITHOUT ROWID;
"""
PIECE = 1 << 18
"""Bytes that are read at once."""
HELD = 200_000_000
"""Characters of one value that are held at most: what is longer is none of ours."""


@dataclass(frozen=True, slots=True)
class File(Record):
    """One file, symbolic link or folder."""

    size: int
    mode: int
    mtime: float
    sha256: str
    """Empty for a link or a folder."""
    backup: str
    """ID of the backup whose `files.tar.zst` has it, its own for a folder; empty for a link, which stands only here."""
    link: str | None = None
    """Where a symbolic link leads."""
    ctime: float | None = None
    """When anything of it last changed, which nobody can set back, as `cp -p` does the mtime; None in older manifests."""
    folder: bool = False
    """Manifests of version 1 name none."""
    owner: str = ""
    """`USER:GROUP`, by name; empty in older manifests."""


class Files(MutableMapping[str, File]):
    """Name to file, in the order of the names."""

    def __init__(self, given: Mapping[str, File] | Iterable[tuple[str, File]] = ()) -> None:
        # An empty path: a database of our own in the folder for temporary files, gone with the connection.
        self._rows = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        self._rows.executescript(SETUP)
        self.update(given)

    def __del__(self) -> None:
        self._rows.close()

    def __getitem__(self, name: str) -> File:
        row = self._rows.execute(f"SELECT {COLUMNS} FROM file WHERE name = ?", (os.fsencode(name),)).fetchone()  # noqa: S608 - constants
        if row is None:
            raise KeyError(name)
        return _file(row)

    def __setitem__(self, name: str, file: File) -> None:
        link = None if file.link is None else os.fsencode(file.link)
        row = (
            os.fsencode(name),
            file.size,
            file.mode,
            file.mtime,
            file.sha256,
            file.backup,
            link,
            file.ctime,
            file.folder,
            file.owner,
        )
        try:
            self._rows.execute("INSERT OR REPLACE INTO file VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        except sqlite3.OperationalError as error:
            raise BackupError(
                f"the list of files does not go on in the folder for temporary files: {error}\n"
                "  hint: make room there, or name another folder in TMPDIR",
                reason="unverified",
            ) from None

    def __delitem__(self, name: str) -> None:
        if not self._rows.execute("DELETE FROM file WHERE name = ?", (os.fsencode(name),)).rowcount:
            raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return (os.fsdecode(name) for (name,) in self._rows.execute("SELECT name FROM file ORDER BY name"))

    def __len__(self) -> int:
        return int(self._rows.execute("SELECT count(*) FROM file").fetchone()[0])

    def __bool__(self) -> bool:  # without counting all of them
        return self._rows.execute("SELECT 1 FROM file LIMIT 1").fetchone() is not None

    def items(self) -> ItemsView[str, File]:
        """Names and files, read in one go."""
        return _Items(self)

    def values(self) -> ValuesView[File]:
        """The files."""
        return _Values(self)

    def rows(self) -> Iterator[tuple[str, File]]:
        """Name and file of each."""
        for name, *row in self._rows.execute(f"SELECT name, {COLUMNS} FROM file ORDER BY name"):  # noqa: S608 - constants
            yield os.fsdecode(name), _file(row)

    def folders(self, *, inner_first: bool = False) -> Iterator[tuple[str, File]]:
        """Name and file of each folder, before those that are in it; with INNER_FIRST after them."""
        order = "DESC" if inner_first else "ASC"
        for name, *row in self._rows.execute(f"SELECT name, {COLUMNS} FROM file WHERE folder ORDER BY name {order}"):  # noqa: S608 - constants
            yield os.fsdecode(name), _file(row)

    @property
    def holders(self) -> set[str]:
        """IDs of the backups that have their content."""
        return {backup for (backup,) in self._rows.execute("SELECT DISTINCT backup FROM file") if backup}

    @property
    def bytes(self) -> int:
        """Size of all of them, wherever their content is stored."""
        return int(self._rows.execute("SELECT total(size) FROM file").fetchone()[0])

    def keep(self, holders: Collection[str]) -> None:
        """Forget those that none of HOLDERS has."""
        for backup in {"", *self.holders} - set(holders):
            self._rows.execute("DELETE FROM file WHERE backup = ?", (backup,))


class _Items(ItemsView[str, File]):
    _mapping: Files

    def __iter__(self) -> Iterator[tuple[str, File]]:
        return self._mapping.rows()


class _Values(ValuesView[File]):
    _mapping: Files

    def __iter__(self) -> Iterator[File]:
        return (file for _, file in self._mapping.rows())


def _file(row: Iterable[Any]) -> File:
    size, mode, mtime, sha256, backup, link, ctime, folder, owner = row
    leads = None if link is None else os.fsdecode(link)
    return File(size, mode, mtime, sha256, backup, leads, ctime, bool(folder), owner)


class Reader:
    """Walks through a JSON text in STREAM, of which one value at a time is in memory; ValueError when it is none."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._decoder = stream, codecs.getincrementaldecoder("utf-8")()
        self._text, self._at, self._ended = "", 0, False
        self._json = json.JSONDecoder()

    def members(self) -> Iterator[str]:
        """Each key of the object that begins here; its value has to be read before the next one is asked for."""
        self._take("{")
        if self.ahead() == "}":
            self._take("}")
            return
        while True:
            key = self.value()
            if not isinstance(key, str):
                raise ValueError("a key is no text")
            self._take(":")
            yield key
            if self.ahead() == "}":
                self._take("}")
                return
            self._take(",")

    def value(self) -> Any:
        """The value that begins here."""
        self.ahead()
        while True:
            try:
                found, end = self._json.raw_decode(self._text, self._at)
            except ValueError:
                if self._ended:
                    raise
            else:
                if end < len(self._text) or self._ended:  # otherwise a number may go on
                    self._at = end
                    return found
            self._more()

    def ahead(self) -> str:
        """The character that comes next, white space left out; empty at the end."""
        while True:
            while self._at < len(self._text):
                if not self._text[self._at].isspace():
                    return self._text[self._at]
                self._at += 1
            if self._ended:
                return ""
            self._more()

    def _take(self, character: str) -> None:
        if self.ahead() != character:
            raise ValueError(f'"{character}" is expected, "{self.ahead()}" is there')
        self._at += 1

    def _more(self) -> None:
        left = self._text[self._at :]
        if len(left) > HELD:
            raise ValueError("a value of it is too long")
        # As much again as is there: a long value is not tried over and over.
        piece = self._stream.read(max(PIECE, len(left)))
        self._text, self._at = left + self._decoder.decode(piece, not piece), 0
        self._ended = not piece

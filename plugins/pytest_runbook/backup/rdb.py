"""Redis' snapshot: had from the server as a replica has it, and read: whole or not, how many keys in which database."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from pytest_runbook.backup.checksums import PIECE
from pytest_runbook.errors import BackupError

MAGIC = (b"REDIS", b"VALKEY")
HEADER = 9
"""Bytes of magic and version: `REDIS0011`, `VALKEY080`."""
EOF, SELECT, RESIZE, AUX = 0xFF, 0xFE, 0xFB, 0xFA
EXPIRES_MS, EXPIRES, MODULE_AUX, IDLE, FREQUENCY, FUNCTION, SLOT = 0xFC, 0xFD, 0xF7, 0xF8, 0xF9, 0xF5, 0xF4
CHECKSUM = 8
"""Bytes of the checksum at the end; all 0 when the server was told not to compute one."""


@dataclass
class Snapshot:
    """What a snapshot says of itself."""

    version: str
    """`REDIS0011`."""
    server: str = ""
    """Version of the server that wrote it."""
    replication: str = ""
    """Id of the history of writes that it is a moment of; another server has another."""
    keys: dict[str, int] = field(default_factory=dict)
    """Number of the database to how many keys it has there."""
    expires: dict[str, int] = field(default_factory=dict)
    whole: bool = True
    """False: it has a type of value that is not known here, and the databases after it were not seen."""


class Checksum:
    """Judges a snapshot that goes by, piece by piece: its magic, its end, its checksum."""

    def __init__(self) -> None:
        import anycrc

        self._model = anycrc.Model("CRC64-REDIS")
        self._crc, self._head, self._tail, self.size = 0, b"", b"", 0

    def add(self, piece: bytes) -> None:
        """Take PIECE."""
        self.size += len(piece)
        self._head = (self._head + piece)[:HEADER] if len(self._head) < HEADER else self._head
        data = self._tail + piece
        self._crc = self._model.calc(data[:-CHECKSUM], self._crc) if len(data) > CHECKSUM else self._crc
        self._tail = data[-CHECKSUM:]

    def fault(self) -> str:
        """What is wrong with all that went by; empty when nothing is."""
        if not self._head.startswith(MAGIC):
            return f'it does not begin as a snapshot of Redis does, but with "{self._head[:5]!r}"'
        if self.size < HEADER + 1 + CHECKSUM:
            return "it is too short"
        stored = int.from_bytes(self._tail, "little")
        if stored and stored != self._crc:
            return "its own checksum says that it is damaged"
        return ""


def read(path: Path) -> Snapshot:
    """What the snapshot in the file PATH says of itself; BackupError `not-a-dump` when it cannot be read."""
    with path.open("rb") as file:
        try:
            return _Reader(file).snapshot()
        except (IndexError, ValueError, EOFError) as error:
            raise BackupError(f'"{path.name}" cannot be read as a snapshot: {error}', reason="not-a-dump") from None


class _Unknown(Exception):
    """A type of value that is not known here."""


class _Reader:
    """Walks through a snapshot; values are skipped, not read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = os.fstat(file.fileno()).st_size
        self._piece, self._at = b"", 0

    def snapshot(self) -> Snapshot:
        header = self._take(HEADER)
        if not header.startswith(MAGIC):
            raise ValueError("it does not begin with REDIS or VALKEY")
        found, database = Snapshot(header.decode("ascii", "replace")), "0"
        skip = self._skippers(valkey=header.startswith(b"VALKEY"))
        while (code := self._byte()) != EOF:
            if code == SELECT:
                database = str(self._length())
                found.keys.setdefault(database, 0)
            elif code == RESIZE:
                # The server's own count, exact at the moment of the snapshot.
                found.keys[database], found.expires[database] = self._length(), self._length()
            elif code == AUX:
                name, value = self._text(), self._text()
                found.server = value if name in ("redis-ver", "valkey-ver") else found.server
                found.replication = value if name == "repl-id" else found.replication
            else:
                try:
                    self._entry(code, skip)
                except _Unknown:
                    found.whole = False
                    break
        found.keys = {number: count for number, count in found.keys.items() if count}
        found.expires = {number: found.expires.get(number, 0) for number in found.keys}
        return found

    def _entry(self, code: int, skip: dict[int, Callable[[], None]]) -> None:
        """Skip what CODE begins: a key with its value, or something about the next one."""
        match code:
            case c if c == EXPIRES_MS:
                self._skip(8)
            case c if c == EXPIRES:
                self._skip(4)
            case c if c == IDLE:
                self._length()
            case c if c == FREQUENCY:
                self._skip(1)
            case c if c == FUNCTION:
                self._string()
            case c if c == SLOT:
                for _ in range(3):
                    self._length()
            case c if c == MODULE_AUX:
                self._length()
                self._module()
            case _:
                self._string()
                if code not in skip:
                    raise _Unknown(code)
                skip[code]()

    def _skippers(self, *, valkey: bool) -> dict[int, Callable[[], None]]:
        """Type of a value to what skips it."""
        one = dict.fromkeys((0, 9, 10, 11, 12, 13, 16, 17, 20), self._string)
        many: dict[int, Callable[[], None]] = {
            **dict.fromkeys((1, 2, 14), lambda: self._times(self._string)),
            3: lambda: self._times(self._string, self._double),
            4: lambda: self._times(self._string, self._string),
            5: lambda: self._times(self._string, lambda: self._skip(8)),
            7: self._module_value,
            18: lambda: self._times(self._number, self._string),
            **{kind: lambda k=kind: self._stream(k) for kind in (15, 19, 21)},  # type: ignore[misc]
        }
        hashes: dict[int, Callable[[], None]] = (
            {22: lambda: self._times(self._string, self._string, lambda: self._skip(8))}
            if valkey
            else {24: self._expiring_hash, 25: self._expiring_list}
        )
        return {**one, **many, **hashes}

    def _expiring_hash(self) -> None:
        self._skip(8)
        self._times(self._number, self._string, self._string)

    def _expiring_list(self) -> None:
        self._skip(8)
        self._string()

    def _module_value(self) -> None:
        self._length()
        self._module()

    def _module(self) -> None:
        """What a module wrote: each part says what it is."""
        parts = {1: self._number, 2: self._number, 3: lambda: self._skip(4), 4: lambda: self._skip(8), 5: self._string}
        while (kind := self._length()) != 0:
            if kind not in parts:
                raise _Unknown(kind)
            parts[kind]()

    def _stream(self, kind: int) -> None:
        self._times(self._string, self._string)
        for _ in range(3 if kind == 15 else 8):  # length and last id; then first id, deleted id, entries added
            self._length()
        for _ in range(self._length()):  # groups of consumers
            self._string()
            for _ in range(2 if kind == 15 else 3):
                self._length()
            for _ in range(self._length()):
                self._skip(16 + 8)
                self._length()
            for _ in range(self._length()):
                self._string()
                self._skip(8 if kind < 21 else 16)
                for _ in range(self._length()):
                    self._skip(16)

    def _times(self, *parts: Callable[[], None]) -> None:
        for _ in range(self._length()):
            for part in parts:
                part()

    def _number(self) -> None:
        self._length()

    def _double(self) -> None:
        size = self._byte()
        if size < 253:  # the rest are infinities and no number
            self._skip(size)

    def _string(self) -> None:
        size, special = self._prefix()
        if not special:
            self._skip(size)
        elif size < 3:
            self._skip(1 << size)
        else:
            compressed, _ = self._length(), self._length()
            self._skip(compressed)

    def _text(self) -> str:
        size, special = self._prefix()
        if not special:
            return self._take(size).decode("utf-8", "replace")
        if size < 3:
            return str(int.from_bytes(self._take(1 << size), "little", signed=True))
        compressed, _ = self._length(), self._length()
        self._skip(compressed)
        return ""

    def _length(self) -> int:
        size, special = self._prefix()
        if special:
            raise ValueError("a length is expected")
        return size

    def _prefix(self) -> tuple[int, bool]:
        """A length, or the kind of a special string."""
        first = self._byte()
        kind, rest = first >> 6, first & 0x3F
        if kind == 0:
            return rest, False
        if kind == 1:
            return rest << 8 | self._byte(), False
        if kind == 3:
            return rest, True
        return int.from_bytes(self._take(8 if first == 0x81 else 4), "big"), False

    def _byte(self) -> int:
        if self._at >= len(self._piece):
            self._piece, self._at = self._file.read(PIECE), 0
            if not self._piece:
                raise EOFError("it ends in the middle")
        self._at += 1
        return self._piece[self._at - 1]

    def _take(self, size: int) -> bytes:
        taken = self._piece[self._at : self._at + size]
        self._at += len(taken)
        if len(taken) < size:
            taken += self._file.read(size - len(taken))
        if len(taken) < size:
            raise EOFError("it ends in the middle")
        return taken

    def _skip(self, size: int) -> None:
        held = len(self._piece) - self._at
        if size <= held:
            self._at += size
            return
        self._piece, self._at = b"", 0
        if size - held > self._size - self._file.tell():
            raise EOFError("it ends in the middle")
        self._file.seek(size - held, os.SEEK_CUR)

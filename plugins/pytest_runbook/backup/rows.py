"""Counts the rows in a dump's data as they go by in text: what pg_restore would load, table by table."""

from __future__ import annotations

import re

START = re.compile(rb'^COPY ((?:"(?:[^"]|"")+"|[^\s."]+)\.(?:"(?:[^"]|"")+"|[^\s."(]+)) .*FROM stdin;$', re.DOTALL)
END = b"\\."
NAME = re.compile(r'"((?:[^"]|"")+)"|([^."]+)')
HELD = 1 << 20
"""Bytes of a line that are looked at; a longer one is a row."""


class Rows:
    """Takes the text of a dump's data, piece by piece: in that of a function, any line may look like the beginning of rows."""

    def __init__(self) -> None:
        self.tables: dict[str, int] = {}
        """`schema.table` to how many rows came."""
        self._table = ""
        self._held = b""

    def add(self, piece: bytes) -> None:
        """Take PIECE."""
        data = self._held + piece
        at, end = 0, data.rfind(b"\n") + 1
        while at < end:
            before, at = at, self._inside(data, at, end) if self._table else self._outside(data, at, end)
            if at == before:
                break
        self._held = data[at:]
        if len(self._held) > HELD:  # only rows are as long as that; its beginning is of no interest any more
            self._held = b"x" + self._held[-1:]

    def _outside(self, data: bytes, at: int, end: int) -> int:
        """Look for the beginning of a table's rows in DATA from AT; where to go on: at AT itself when DATA ends within it."""
        start = at if data.startswith(b"COPY ", at) else data.find(b"\nCOPY ", at, end) + 1
        if start == 0 and not data.startswith(b"COPY ", at):
            return end
        stop = data.index(b"\n", start) + 1
        while data.count(b'"', start, stop) % 2:  # a name has a newline in it
            if stop == end:
                return start
            stop = data.index(b"\n", stop) + 1
        if found := START.match(data[start : stop - 1]):
            self._table = plain(found[1].decode(errors="replace"))
            self.tables.setdefault(self._table, 0)
        return stop

    def _inside(self, data: bytes, at: int, end: int) -> int:
        """Count rows in DATA from AT on to the end of the table; where to go on."""
        if data.startswith(END + b"\n", at):
            self._table = ""
            return at + 3
        last = data.find(b"\n" + END + b"\n", at, end)
        stop = last + 1 if last >= 0 else end
        self.tables[self._table] += data.count(b"\n", at, stop)
        return stop


def plain(quoted: str) -> str:
    """`public."user"` as `public.user`."""
    return ".".join(first.replace('""', '"') if first else second for first, second in NAME.findall(quoted))

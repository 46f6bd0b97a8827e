"""Output of programs in bounded space: beginning and end are kept, what lies between is counted."""

from __future__ import annotations

from collections.abc import Callable

KEPT = 50_000
"""Characters that are kept of the output of a step."""
MARGIN = 16_384
"""Characters beside a cut that are looked at and not kept: what is cut there could be one half of a secret."""


class Capped:
    """Takes any amount of output."""

    def __init__(self, kept: int = KEPT) -> None:
        """KEPT is the number of characters that `text` answers at most, the line that tells of the rest left out."""
        self._kept = kept
        self._half = kept // 2 + MARGIN
        self._head = bytearray()
        self._tail = bytearray()
        self._total = 0

    def add(self, data: bytes) -> None:
        """Take DATA."""
        self._total += len(data)
        room = max(self._half - len(self._head), 0)
        self._head += data[:room]
        self._tail += data[room:]
        if len(self._tail) > 4 * self._half:  # not at each call: moving the end costs as much as it is long
            del self._tail[: -self._half]

    @property
    def whole(self) -> bool:
        """Whether it is sure that `text` leaves nothing out."""
        return self._total <= self._kept

    def text(self, clean: Callable[[str], str] = str) -> str:
        """What came, through CLEAN, which takes the secrets out; bytes that are no UTF-8 are replaced."""
        if self._total <= 2 * self._half:
            return self._shortened(clean(_decoded(self._head + self._tail)))
        half = self._kept // 2
        # What CLEAN cannot recognise because it is cut lies in the margins, and these go.
        head = clean(_decoded(self._head))[:-MARGIN][:half]
        tail = clean(_decoded(self._tail[-self._half :]))[MARGIN:][-half:]
        return f"{head}{_gap(self._total - 2 * half, 'bytes')}{tail}"

    def _shortened(self, text: str) -> str:
        half = self._kept // 2
        if len(text) <= self._kept:
            return text
        return f"{text[:half]}{_gap(len(text) - 2 * half, 'characters')}{text[-half:]}"


def _gap(number: int, unit: str) -> str:
    return f"\n… {number:,} {unit} left out …\n"


def _decoded(data: bytearray) -> str:
    return data.decode("utf-8", "replace")

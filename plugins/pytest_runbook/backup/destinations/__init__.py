"""Destinations: places where copies of backups lie, all spoken to in the same words.

A kind of destination is one file in this folder, or an entry point of group `pytest_runbook.destinations`, with one
subclass of `base.Place` that has `kind = "KIND"`. It is declared as `[backup.destinations.NAME]`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, cast

from pytest_runbook import finding
from pytest_runbook.errors import UsageError, unknown

if TYPE_CHECKING:
    from pytest_runbook.backup.destinations.base import Place
    from pytest_runbook.backup.manifest import Head, Manifest, Stored
    from pytest_runbook.settings import Settings

GROUP = "pytest_runbook.destinations"
"""Entry points that add kinds: `name = "module:Class"`, the name is the kind."""


class Destination(Protocol):
    """What every kind can do; everything raises BackupError, with its reason where it has one."""

    @property
    def name(self) -> str:
        """Its name in the settings."""

    settings: Settings
    """All settings of the system whose backups these are."""
    root: Path
    """Where relative paths start from."""
    advance: Callable[[int], object]
    """Told of each piece that was copied, for a progress bar, and of each that was only read, as 0; raises to stop it all."""

    tries: int
    """How often it is asked while it does not serve."""

    @property
    def encrypted(self) -> bool:
        """Whether what is written there is encrypted."""

    @property
    def place(self) -> str:
        """Where it is, for people; never with a secret."""

    def backups(self) -> list[str]:
        """IDs of the backups that have a manifest, the oldest first."""

    def partial(self) -> list[str]:
        """IDs of those that have none: they are being made, or did not finish."""

    def manifest(self, id: str) -> Manifest:  # noqa: A002 - what it is called everywhere
        """The manifest of the backup ID; `no-manifest` when there is none."""

    def head(self, id: str) -> Head:  # noqa: A002
        """The same without its list of files, which may be long."""

    def names(self, id: str) -> dict[str, int]:  # noqa: A002
        """What the folder of ID holds, without the endings of encryption: name to bytes as they lie there."""

    def mark(self, id: str, name: str) -> str:  # noqa: A002
        """What the place tells of NAME without reading it, and what is another when it was written anew; empty: nothing."""

    def read(self, id: str, name: str) -> AbstractContextManager[BinaryIO]:  # noqa: A002
        """The plain content of NAME, decrypted, as a stream; `missing` when it is not there."""

    def private_keys(self) -> list[Any]:
        """The private keys for what is encrypted there; `wrong-key` when there are none."""

    def compared(self, id: str, name: str, told: Stored) -> str:  # noqa: A002
        """What is wrong with NAME, which should be as TOLD, in words; empty when nothing is."""

    def write(self, id: str, name: str, path: Path, *, anew: bool = False) -> None:  # noqa: A002
        """Put the file PATH there as NAME, whole or not at all; what is there already and right is left, but ANEW."""

    def remove(self, id: str) -> None:  # noqa: A002
        """Remove the whole backup, its manifest first."""

    def finish(self) -> list[str]:
        """Remove what is left of backups whose removal was interrupted; their IDs."""

    def note(self, id: str, name: str, data: Mapping[str, Any]) -> None:  # noqa: A002
        """Write DATA as `verified.json`, `refuted.json` or `restored.json`, which is what NAME is."""

    def noted(self, id: str, name: str) -> dict[str, Any] | None:  # noqa: A002
        """What was noted as NAME; None when nothing was, or nothing that can be read."""

    def forget(self, id: str, name: str) -> None:  # noqa: A002
        """Remove the note NAME, when there is one."""

    def close(self) -> None:
        """Give back what it holds."""


def names() -> list[str]:
    """Every kind that the settings may name; imports none of them."""
    return sorted(_places())


@cache
def find(kind: str) -> type[Place[Any]]:
    """The class of KIND; UsageError when there is none, or when its module cannot be imported."""
    place = _places().get(kind)
    if place is None:
        raise UsageError(unknown("kind of destination", kind, names()))
    return cast("type[Place[Any]]", finding.load("destination", kind, place, _base))


def declared(name: str, settings: Settings) -> Any:
    """The settings of the destination NAME; UsageError when none is declared."""
    known = settings.backup.destinations
    if name not in known:
        raise UsageError(unknown("destination", name, known, "declare [backup.destinations.NAME] in the settings"))
    return known[name]


def connect(name: str, settings: Settings, root: Path) -> Destination:
    """The destination NAME of SETTINGS, whose relative paths start from ROOT; UsageError when none is declared."""
    own = declared(name, settings)
    return find(own.kind)(name, own, settings, root)


@cache
def _places() -> dict[str, str]:
    return finding.places(__name__, __path__, GROUP)


def _base() -> type:
    # Late: the base needs pydantic, naming the kinds does not.
    from pytest_runbook.backup.destinations.base import Place

    return Place

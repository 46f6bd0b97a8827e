"""The embedded system: real servers as ordinary processes, so that every check and every fault can be seen working."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lab.lab import Lab
    from lab.site import LabError

__all__ = ["Lab", "LabError"]


def __getattr__(name: str) -> Any:
    # Late, because each process of the lab imports this package, and few need what steers them.
    if name == "Lab":
        from lab.lab import Lab

        return Lab
    if name == "LabError":
        from lab.site import LabError

        return LabError
    raise AttributeError(name)

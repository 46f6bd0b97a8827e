"""The embedded system: real servers as ordinary processes, so that every check and every fault can be seen working."""

from lab.lab import Lab
from lab.site import LabError

__all__ = ["Lab", "LabError"]

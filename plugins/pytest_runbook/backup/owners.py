"""Names of the owners of files: numbers of users and groups differ from machine to machine, names seldom do."""

from __future__ import annotations

import grp
import pwd
from collections.abc import Callable
from functools import cache


@cache
def named(user: int, group: int) -> str:
    """`USER:GROUP` of these numbers on this machine; the number itself where it has no name."""
    return f"{_name_of_user(user)}:{_name_of_group(group)}"


@cache
def numbers(owner: str) -> tuple[int, int]:
    """User and group that `USER:GROUP` means on this machine; KeyError when it does not know one of them."""
    user, _, group = owner.partition(":")
    return _number(user, lambda name: pwd.getpwnam(name).pw_uid), _number(group, lambda name: grp.getgrnam(name).gr_gid)


def _name_of_user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _name_of_group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def _number(name: str, look_up: Callable[[str], int]) -> int:
    """What LOOK_UP says of NAME; of a number that has no name, the number."""
    try:
        return look_up(name)
    except KeyError:
        if name.isdecimal():
            return int(name)
        raise

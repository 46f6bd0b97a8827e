"""Runs a program as another user, for servers that refuse to be root; alone it needs only a little of the standard library.

become.py USER COMMAND …
"""

from __future__ import annotations

import ctypes
import os
import pwd
import stat
import sys
from collections.abc import Sequence
from pathlib import Path

PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, PR_SET_KEEPCAPS, PR_SET_SECUREBITS = 47, 2, 8, 28
SECBIT_NO_SETUID_FIXUP = 1 << 2
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 1, 2
CAPABILITY_VERSION = 0x20080522
USERS = ("nobody", "postgres", "daemon")


def unprivileged() -> str | None:
    """The user of servers that refuse to be root; None when we are not root. LookupError when there is no such user."""
    if os.geteuid() != 0:
        return None
    for name in USERS:
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    raise LookupError('PostgreSQL refuses to run as root, and there is no user "nobody"\n  hint: run as another user')


def command(user: str | None, argv: Sequence[str]) -> list[str]:
    """What runs ARGV as USER; ARGV itself without one."""
    return [sys.executable, "-I", "-S", __file__, user, *argv] if user else [*argv]


def give(path: Path, user: str | None) -> None:
    """Make USER the owner of PATH; nothing is done without one."""
    if user is not None:
        entry = pwd.getpwnam(user)
        os.chown(path, entry.pw_uid, entry.pw_gid, follow_symlinks=False)


def become(user: str, argv: Sequence[str]) -> None:
    """Be USER from here on, to run ARGV; may pass through folders that only root may enter where a path of it needs that.

    A checkout below /root does. Who passes reads every file as well, so nobody does who need not: a server that a dump is
    restored into runs what somebody wrote into the database.
    """
    entry = pwd.getpwnam(user)
    libc = ctypes.CDLL(None, use_errno=True)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    capability = 0 if _reached_by(entry.pw_uid, argv) else _passing_capability()
    if capability:
        # Only so does access(2), which PostgreSQL's programs ask about each other, heed what others than root hold.
        libc.prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0)
    libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setuid(entry.pw_uid)
    mask = 1 << capability if capability else 0
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
    data = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)
    if libc.capset(header, data) != 0:
        raise OSError(ctypes.get_errno(), f'what root may do cannot be given up to become "{user}"')
    if capability:
        libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0)


def _reached_by(uid: int, argv: Sequence[str]) -> bool:
    """Whether the user UID gets to each path of ARGV, and to the current folder, by own rights."""
    os.seteuid(uid)
    try:
        return all(map(_enters, (Path.cwd(), *(Path(word) for word in argv if word.startswith("/")))))
    finally:
        os.seteuid(0)


def _enters(path: Path) -> bool:
    """Whether we get to PATH, and when it is a folder, into it; what is not there stops nobody."""
    try:
        folder = stat.S_ISDIR(path.stat().st_mode)
    except PermissionError:
        return False
    except OSError:
        return True
    return not folder or os.access(path, os.X_OK, effective_ids=True)


def _passing_capability() -> int:
    """The mildest capability of this process that opens folders; 0 where there is none."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapPrm:"):
            held = int(line.split()[1], 16)
            return next((bit for bit in (CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE) if held >> bit & 1), 0)
    return 0


def run_as(user: str, *argv: str) -> None:
    """Become ARGV, run by USER."""
    become(user, argv)
    try:
        os.execv(argv[0], argv)  # noqa: S606 - an argument list
    except PermissionError:
        hint = "put program and folder where others may enter, or work as another user than root"
        sys.exit(f'the user "{user}" may not reach "{argv[0]}"\n  hint: {hint}')


if __name__ == "__main__":
    run_as(*sys.argv[1:])

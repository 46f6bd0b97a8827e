"""Start one process of the lab as its entry in `processes.json` says; imports a little of the standard library only.

    launch.py processes.json NAME        for supervisord
    launch.py --as USER COMMAND ...      a command as another user

Command, environment and folder stand in JSON because supervisord's own configuration cannot hold every value, and
because it would show secrets. A server that refuses to run as root gets another user here.
"""

from __future__ import annotations

import ctypes
import json
import os
import pwd
import sys
from pathlib import Path

PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, PR_SET_KEEPCAPS = 47, 2, 8
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 1, 2
CAPABILITY_VERSION = 0x20080522


def become(user: str) -> None:
    """Be USER from here on, yet able to pass through folders that only root may enter (a checkout below /root)."""
    entry = pwd.getpwnam(user)
    libc = ctypes.CDLL(None, use_errno=True)
    capability = _passing_capability()
    os.setgroups([])
    os.setgid(entry.pw_gid)
    libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setuid(entry.pw_uid)
    mask = 1 << capability
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
    data = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)
    if capability and libc.capset(header, data) == 0:
        libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0)


def _passing_capability() -> int:
    """The mildest capability of this process that opens folders; 0 where there is none."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapPrm:"):
            held = int(line.split()[1], 16)
            return next((bit for bit in (CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE) if held >> bit & 1), 0)
    return 0


def run_as(user: str, *command: str) -> None:
    """Become COMMAND, run by USER."""
    become(user)
    try:
        os.execv(command[0], command)
    except PermissionError:
        hint = "put checkout and lab where others may enter, or work as another user than root"
        sys.exit(f'the user "{user}" may not reach "{command[0]}"\n  hint: {hint}')


def run_process(file: str, name: str) -> None:
    """Become the process NAME of FILE."""
    spec = json.loads(Path(file).read_text())[name]
    os.chdir(spec["directory"])
    if spec["user"] is not None:
        become(spec["user"])
    os.execvpe(spec["command"][0], spec["command"], {**os.environ, **spec["environment"]})


if __name__ == "__main__":
    run_as(*sys.argv[2:]) if sys.argv[1] == "--as" else run_process(*sys.argv[1:])

"""Updates that wait to be installed, as the package manager's own lists tell; nothing is fetched."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pytest_runbook import clock
from pytest_runbook.errors import Unmeasured
from pytest_runbook.probes.host.reader import Reader, last

APT = "apt list --upgradable"
DNF = "dnf -q -C check-update"
DNF_SECURITY = "dnf -q -C updateinfo list --security --updates"

UPDATES = 100
"""Exit status of dnf when there are updates."""
HINT = "\n  hint: apt-get update, or dnf makecache"


@dataclass(frozen=True, slots=True)
class Update:
    """One package that can be updated."""

    name: str
    version: str
    """The one that can be installed."""
    security: bool
    """It comes from the distribution's security updates."""


@dataclass(frozen=True, slots=True)
class Updates:
    """Updates that wait."""

    packages: tuple[Update, ...]
    lists_age: float
    """Seconds since the lists were fetched: what came later is not known."""

    @property
    def security(self) -> tuple[Update, ...]:
        """Those that fix a weakness."""
        return tuple(one for one in self.packages if one.security)


def updates(reader: Reader, max_age: float) -> Updates:
    """Updates that wait; Unmeasured without a package manager that we know, and with lists older than MAX_AGE seconds."""
    if reader.has("apt"):
        # The lists' own times are those of the server they came from; when they changed *here* tells of the last update.
        folder = reader.said('eval $(apt-config shell state Dir::State/d) && echo "${state:-/var/lib/apt/}"')
        age = _age(reader, f"'{folder}lists' '{folder}periodic'", "*Release", "update-success-stamp")
        found = Updates(apt(reader.said(f"LC_ALL=C {APT}")), age)
    elif reader.has("dnf"):
        age = _age(reader, "/var/cache/dnf /var/cache/libdnf5", "repomd.xml", "last_makecache")
        found = Updates(_dnf(reader), age)
    else:
        raise Unmeasured(f'"{reader.target}" has neither apt nor dnf: which updates wait is not known')
    if age > max_age:
        raise Unmeasured(f'the package lists of "{reader.target}" are {clock.duration(age)} old{HINT}')
    return found


def _age(reader: Reader, folders: str, *names: str, before: str = "") -> float:
    """Seconds since the youngest of the files NAMES in FOLDERS came; BEFORE sets the shell's variables in FOLDERS."""
    wanted = " -o ".join(f"-name '{name}'" for name in names)
    find = f"find {folders} -maxdepth 3 -type f \\( {wanted} \\) -exec stat -c %Z {{}} + 2>/dev/null"
    now, *times = map(float, reader.run(f"{before}date +%s; {find}").stdout.split())
    if not times:
        raise Unmeasured(f'"{reader.target}" has no package lists{HINT}')
    return max(now - max(times), 0.0)


def _dnf(reader: Reader) -> tuple[Update, ...]:
    done = reader.run(f"LC_ALL=C {DNF}")
    if done.rc not in (0, UPDATES):
        raise Unmeasured(f'"{reader.target}": dnf: {last(done.stderr)}')
    return dnf(done.stdout, reader.said(f"LC_ALL=C {DNF_SECURITY}"))


def apt(text: str) -> tuple[Update, ...]:
    """Updates that `apt list --upgradable` prints: `openssl/stable-security 3.0.17-1 amd64 [upgradable from: 3.0.16-1]`."""
    found = re.findall(r"^([^/\s]+)/(\S+) (\S+) \S+ \[", text, re.MULTILINE)
    return tuple(Update(name, version, "security" in suites) for name, suites, version in found)


def dnf(updates: str, advisories: str) -> tuple[Update, ...]:
    """Updates that `DNF` prints, `openssl.x86_64  1:3.0.7-27.el9  baseos`, and which of them are in `DNF_SECURITY`."""
    updates = updates.partition("\nObsoleting Packages")[0]
    secure = set(re.findall(r"^\S+\s+\S*Sec\.\s+(\S+)$", advisories, re.MULTILINE))
    found = re.findall(r"^(\S+)\.(\w+)\s+(?:(\d+):)?(\S+)\s+\S+$", updates, re.MULTILINE)
    return tuple(
        Update(name, version, f"{name}-{version}.{arch}" in secure or f"{name}-{epoch}:{version}.{arch}" in secure)
        for name, arch, epoch, version in found
    )

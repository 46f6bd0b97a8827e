"""A machine's figures: memory, disks, load, ports; told by psutil here, and by its kernel and df on a machine elsewhere."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from pytest_runbook.errors import Unmeasured
from pytest_runbook.probes.host.reader import Reader

MEMINFO = "/proc/meminfo"
CGROUP = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory.stat")
CGROUP_1 = (
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    "/sys/fs/cgroup/memory/memory.stat",
)
LOADAVG, CPUINFO, UPTIME = "/proc/loadavg", "/proc/cpuinfo", "/proc/uptime"
TCP = ("/proc/net/tcp", "/proc/net/tcp6")


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of memory."""

    total: int
    used: int
    """What is not available: caches that can be dropped do not count."""
    available: int
    swap_total: int
    swap_used: int
    scope: str
    """`machine`; or `container`, whose limit is what counts, when it has one. Swap is always the machine's."""

    @property
    def used_fraction(self) -> float:
        """Used of the total, 0..1."""
        return self.used / self.total


def memory(reader: Reader) -> Memory:
    """Memory of READER's machine; of the container, when it has a limit of its own."""
    if not reader.local:
        files = reader.files(MEMINFO, *CGROUP, *CGROUP_1)
        return within(memory_told(files.get(MEMINFO, "")), files)
    import psutil

    seen, swap = psutil.virtual_memory(), psutil.swap_memory()
    whole = Memory(seen.total, seen.total - seen.available, seen.available, swap.total, swap.used, "machine")
    return within(whole, reader.files(*CGROUP, *CGROUP_1))


def memory_told(meminfo: str) -> Memory:
    """The machine's memory as /proc/meminfo tells it."""
    found = {name: int(size) * 1024 for name, size in re.findall(r"^(\w+):\s+(\d+) kB", meminfo, re.MULTILINE)}
    try:
        total, available, swap = found["MemTotal"], found["MemAvailable"], found["SwapTotal"]
        return Memory(total, total - available, available, swap, swap - found["SwapFree"], "machine")
    except KeyError as missing:
        raise Unmeasured(f"{MEMINFO} does not tell {missing}") from None


def within(whole: Memory, files: Mapping[str, str]) -> Memory:
    """WHOLE, or the memory of the control group that FILES describe, when that has a limit below it: a container's."""
    for names, cache in ((CGROUP, "inactive_file"), (CGROUP_1, "total_inactive_file")):
        limit, current, stat = (files.get(name, "").strip() for name in names)
        if not (limit.isdigit() and current.isdigit() and int(limit) < whole.total):
            continue
        dropped = re.search(rf"^{cache} (\d+)$", stat, re.MULTILINE)  # cache that the kernel gives up when it must
        used = max(int(current) - int(dropped[1] if dropped else 0), 0)
        return replace(whole, total=int(limit), used=used, available=int(limit) - used, scope="container")
    return whole


@dataclass(frozen=True, slots=True)
class Disk:
    """The file system that a path lies on; bytes, and inodes: as many files as fit."""

    mount: str
    total: int
    used: int
    free: int
    """What an ordinary user can still write; some is reserved for root."""
    inodes: int
    """0 when the file system has no fixed number."""
    inodes_used: int
    inodes_free: int

    @property
    def used_fraction(self) -> float:
        """Used of what ordinary users can use, 0..1, as df shows it."""
        return self.used / (self.used + self.free) if self.used + self.free else 0.0

    @property
    def inodes_used_fraction(self) -> float:
        """Used inodes, 0..1; 0 when the file system has no fixed number."""
        return self.inodes_used / (self.inodes_used + self.inodes_free) if self.inodes else 0.0


def disk(reader: Reader, path: str) -> Disk:
    """The file system that PATH lies on; OSError or Unmeasured when there is no such path."""
    if not reader.local:
        return disk_told(reader.said("df -Pk -- %s", path), reader.said("df -Pi -- %s", path))
    import psutil

    usage, inodes = psutil.disk_usage(path), os.statvfs(path)
    mount = Path(path).resolve()
    while not mount.is_mount():
        mount = mount.parent
    taken = inodes.f_files - inodes.f_ffree
    return Disk(str(mount), usage.total, usage.used, usage.free, inodes.f_files, taken, inodes.f_favail)


def disk_told(kilobytes: str, inodes: str) -> Disk:
    """The file system that `df -Pk PATH` and `df -Pi PATH` print."""
    total, used, free, mount = _df(kilobytes)
    files, files_used, files_free, _ = _df(inodes)
    return Disk(mount, total * 1024, used * 1024, free * 1024, files, files_used, files_free)


def _df(text: str) -> tuple[int, int, int, str]:
    # From the right: the name of a device can hold spaces and digits.
    found = re.search(r"\s(\d+)\s+(\d+)\s+(\d+)\s+(?:\d+%|-)\s+(/.*)$", text.strip())
    if not found:
        raise Unmeasured(f"df does not print a file system: {text.strip()[-200:]!r}")
    return int(found[1]), int(found[2]), int(found[3]), found[4]


@dataclass(frozen=True, slots=True)
class Load:
    """Processes that run or wait for a processor or a disk, on average over 1, 5 and 15 minutes."""

    one: float
    five: float
    fifteen: float
    cores: int
    """Processors of the machine; a container shows its machine's."""

    @property
    def per_core(self) -> float:
        """Load of the last 5 minutes for each processor; above 1, some wait."""
        return self.five / self.cores


def load(reader: Reader) -> Load:
    """Load averages and the number of processors."""
    if reader.local:
        return Load(*os.getloadavg(), os.cpu_count() or 1)
    files = reader.files(LOADAVG, CPUINFO)
    return load_told(files.get(LOADAVG, ""), files.get(CPUINFO, ""))


def load_told(loadavg: str, cpuinfo: str) -> Load:
    """Load as /proc/loadavg and /proc/cpuinfo tell it."""
    cores = len(re.findall(r"^processor\s*:", cpuinfo, re.MULTILINE))
    try:
        one, five, fifteen = map(float, loadavg.split()[:3])
    except ValueError:
        raise Unmeasured(f"/proc/loadavg does not tell the load: {loadavg[:100]!r}") from None
    return Load(one, five, fifteen, max(cores, 1))


def uptime(reader: Reader) -> float:
    """Seconds since the machine started."""
    try:
        return float(reader.files(UPTIME)[UPTIME].split()[0])
    except (KeyError, IndexError, ValueError):
        raise Unmeasured(f'"{reader.target}" does not tell its uptime') from None


@dataclass(frozen=True, slots=True)
class Port:
    """A TCP port that something listens on."""

    address: str
    port: int
    process: str
    """Name of the process; empty when it cannot be seen: another user's, or another machine's."""
    pid: int | None

    @property
    def public(self) -> bool:
        """Whether other machines can reach it, as far as this machine decides."""
        return not self.ip.is_loopback

    @property
    def ip(self) -> IPv4Address | IPv6Address:
        """The address; that of IPv4 where both kinds are served by one."""
        address = ip_address(self.address)
        return getattr(address, "ipv4_mapped", None) or address


def ports(reader: Reader) -> list[Port]:
    """TCP ports that something listens on."""
    if not reader.local:
        return ports_told(reader.files(*TCP))
    import psutil

    try:
        seen = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        raise Unmeasured("the ports of this machine may not be listed\n  hint: run as root") from None
    return _sorted(
        Port(one.laddr.ip, one.laddr.port, _process(one.pid), one.pid)
        for one in seen
        if one.laddr and one.status == psutil.CONN_LISTEN
    )


def _process(pid: int | None) -> str:
    import psutil

    try:
        return psutil.Process(pid).name() if pid else ""
    except psutil.Error:
        return ""


def ports_told(files: Mapping[str, str]) -> list[Port]:
    """Ports as the kernel's tables `TCP` in FILES tell them."""
    if TCP[0] not in files:
        raise Unmeasured(f"{TCP[0]} cannot be read")
    found = re.findall(r"^\s*\d+: ([0-9A-F]+):([0-9A-F]{4}) [0-9A-F:]+ 0A ", "\n".join(files.values()), re.MULTILINE)
    return _sorted(Port(_address(packed), int(port, 16), "", None) for packed, port in found)


def _address(packed: str) -> str:
    # Words of 32 bits, each in the byte order of the machine; every one that we meet is little-endian.
    words = [bytes.fromhex(packed[start : start + 8])[::-1] for start in range(0, len(packed), 8)]
    return socket.inet_ntop(socket.AF_INET if len(words) == 1 else socket.AF_INET6, b"".join(words))


def _sorted(ports: Iterator[Port]) -> list[Port]:
    return sorted(set(ports), key=lambda one: (one.port, one.address))

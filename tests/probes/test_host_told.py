"""What the host probe makes of what machines print; every text below was printed by a real one, unless it says otherwise."""

from __future__ import annotations

import pytest
from pytest_runbook.errors import Unmeasured, Unreachable
from pytest_runbook.probes.host import clocks, figures, packages

from tests.probes.machines import ntp_server

MEMINFO = """\
MemTotal:       24684132 kB
MemFree:        21010920 kB
MemAvailable:   23775004 kB
Buffers:          101344 kB
SwapTotal:       2097148 kB
SwapFree:        1048572 kB
HugePages_Total:       0
"""
GNU_DF = """\
Filesystem     1024-blocks     Used Available Capacity Mounted on
/dev/vda         264212084 14302844  81198420      15% /
"""
GNU_DF_INODES = """\
Filesystem       Inodes  IUsed    IFree IUse% Mounted on
/dev/vda       16777216 472332 16304884    3% /
"""
BUSYBOX_DF = """\
Filesystem           1024-blocks    Used Available Capacity Mounted on
/dev/vda             264212084  14135996  81365268  15% /
"""
TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:32B8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 196447 1 0000000086212e91 100 0 0 10 0
   1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 196448 1 000000007f4f2e2a 100 0 0 10 0
   2: 0100007F:A1B2 0100007F:32B8 01 00000000:00000000 00:00000000 00000000     0        0 196449 1 000000007f4f2e2b 100 0 0 10 0
"""
TCP6 = """\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt
   0: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000
"""
CHRONY = """\
Reference ID    : 7F000001 (127.0.0.1)
Stratum         : 3
Ref time (UTC)  : Sun Nov 22 19:13:52 2026
System time     : 0.000556335 seconds slow of NTP time
Last offset     : -0.000010147 seconds
RMS offset      : 0.000010147 seconds
Frequency       : 0.000 ppm slow
Residual freq   : -104.480 ppm
Skew            : 1000000.000 ppm
Root delay      : 0.000128202 seconds
Root dispersion : 0.834896326 seconds
Update interval : 0.3 seconds
Leap status     : Normal
"""
CHRONY_ALONE = """\
Reference ID    : 00000000 ()
Stratum         : 0
Ref time (UTC)  : Thu Jan 01 00:00:00 1970
System time     : 0.000001433 seconds fast of NTP time
Last offset     : +0.000000000 seconds
Leap status     : Not synchronised
"""
# As systemd's manual prints it.
TIMESYNC = """\
       Server: 216.58.213.206 (time1.google.com)
Poll interval: 34min 8s (min: 32s; max 34min 8s)
         Leap: normal
      Version: 4
      Stratum: 1
    Precision: 1us (-20)
Root distance: 152us (max: 5s)
       Offset: {offset}
        Delay: 23.5ms
       Jitter: 1.1ms
 Packet count: 5
"""
APT = """\
Listing...
apt-transport-https/oldstable-security 2.6.2 all [upgradable from: 2.6.1]
base-files/oldstable 12.4+deb12u15 amd64 [upgradable from: 12.4+deb12u11]
libssl3/jammy-updates,jammy-security 3.0.2-0ubuntu1.18 amd64 [upgradable from: 3.0.2-0ubuntu1.15]
"""
DNF = """\

demo.noarch                             2:1.1-1                             demo
plain.noarch                            1.1-1                               demo
Obsoleting Packages
new.noarch                              3.0-1                               demo
    old.noarch                          1.0-1                               @demo
"""
DNF_SECURITY = "DEMO-2026-0001 Important/Sec. demo-2:1.1-1.noarch\n"


def test_memory_is_what_is_not_available() -> None:
    seen = figures.memory_told(MEMINFO)
    assert (seen.total, seen.available, seen.scope) == (24684132 * 1024, 23775004 * 1024, "machine")
    assert (seen.swap_total, seen.swap_used) == (2097148 * 1024, 1048576 * 1024)
    assert seen.used_fraction == pytest.approx(0.0368, abs=0.0001)
    with pytest.raises(Unmeasured, match="'MemAvailable'"):
        figures.memory_told("MemTotal: 1000 kB\n")


@pytest.mark.parametrize("version", [1, 2])
def test_a_containers_own_limit_is_what_counts(version: int) -> None:
    whole = figures.memory_told(MEMINFO)
    names = figures.CGROUP if version == 2 else figures.CGROUP_1
    prefix = "" if version == 2 else "total_"
    contents = ["268435456\n", "200000000\n", f"{prefix}active_file 7\n{prefix}inactive_file 50000000\n"]
    seen = figures.within(whole, dict(zip(names, contents, strict=True)))
    assert (seen.total, seen.used, seen.available, seen.scope) == (268435456, 150000000, 118435456, "container")
    for unlimited in ("max\n", "9223372036854771712\n"):
        assert figures.within(whole, dict(zip(names, [unlimited, "1\n", ""], strict=True))) == whole
    assert figures.within(whole, {}) == whole


@pytest.mark.parametrize("text", [GNU_DF, BUSYBOX_DF, GNU_DF.replace("/dev/vda", "//nas/my share 1 2")])
def test_a_disk_is_read_from_df(text: str) -> None:
    seen = figures.disk_told(text, GNU_DF_INODES)
    assert (seen.mount, seen.total) == ("/", 264212084 * 1024)
    assert seen.used_fraction == pytest.approx(0.149, abs=0.002)  # df says 15 %: what is reserved for root is not free
    assert (seen.inodes, seen.inodes_used, seen.inodes_free) == (16777216, 472332, 16304884)
    assert seen.inodes_used_fraction == pytest.approx(0.0281, abs=0.0001)


def test_a_mount_point_may_hold_blanks_and_a_file_system_no_inodes() -> None:
    seen = figures.disk_told(GNU_DF.replace(" /\n", " /mnt/my disk\n"), "/dev/sda1 0 0 0 - /mnt/my disk\n")
    assert (seen.mount, seen.inodes_used_fraction) == ("/mnt/my disk", 0.0)
    with pytest.raises(Unmeasured, match="df does not print a file system"):
        figures.disk_told("Filesystem 1024-blocks\n", GNU_DF_INODES)


def test_load_is_read_from_the_kernel() -> None:
    seen = figures.load_told("3.35 3.90 2.50 4/406 15\n", "processor\t: 0\nmodel\nprocessor\t: 1\n")
    assert (seen.one, seen.five, seen.fifteen, seen.cores, seen.per_core) == (3.35, 3.90, 2.50, 2, 1.95)
    with pytest.raises(Unmeasured, match="does not tell the load"):
        figures.load_told("", "")


def test_ports_are_read_from_the_kernel() -> None:
    seen = figures.ports_told({figures.TCP[0]: TCP, figures.TCP[1]: TCP6})
    assert [(port.address, port.port, port.public) for port in seen] == [
        ("0.0.0.0", 22, True),
        ("::1", 80, False),
        ("127.0.0.1", 12984, False),
    ]


def test_a_port_of_both_kinds_of_addresses_has_that_of_ipv4() -> None:
    mapped = figures.Port("::ffff:10.0.0.5", 6379, "", None)
    assert (str(mapped.ip), mapped.public) == ("10.0.0.5", True)
    assert not figures.Port("::ffff:127.0.0.1", 6379, "", None).public


def test_the_time_service_tells_the_offset() -> None:
    assert clocks.chrony(CHRONY) == clocks.Clock(-0.000556335, 0.0, "chrony")
    assert clocks.chrony(CHRONY.replace("slow of", "fast of")).offset == 0.000556335
    with pytest.raises(Unmeasured, match="not synchronised"):
        clocks.chrony(CHRONY_ALONE)
    for text, offset in (("+1.234ms", -0.001234), ("-3min 2.5s", 182.5), ("152us", -0.000152)):
        assert clocks.timesyncd(TIMESYNC.format(offset=text)).offset == pytest.approx(offset)
    with pytest.raises(Unmeasured, match="has not reached its server"):
        clocks.timesyncd("Server: (null) (ntp.ubuntu.com)\nPacket count: 0\n")


def test_an_ntp_server_tells_the_offset() -> None:
    with ntp_server(ahead=5.0) as port:
        seen = clocks.sntp(f"127.0.0.1:{port}", 2)
    assert seen.offset == pytest.approx(-5.0, abs=0.1)
    assert 0 < seen.uncertainty < 0.1
    assert seen.source == f"NTP server 127.0.0.1:{port}"
    with ntp_server(ahead=0.0, stratum=0) as port, pytest.raises(Unmeasured, match="not synchronised itself"):
        clocks.sntp(f"127.0.0.1:{port}", 2)
    with pytest.raises(Unreachable, match="did not answer"):
        clocks.sntp(f"127.0.0.1:{port}", 0.3)


def test_updates_and_which_of_them_are_security_updates() -> None:
    assert [(one.name, one.version, one.security) for one in packages.apt(APT)] == [
        ("apt-transport-https", "2.6.2", True),
        ("base-files", "12.4+deb12u15", False),
        ("libssl3", "3.0.2-0ubuntu1.18", True),
    ]
    seen = packages.dnf(DNF, DNF_SECURITY)
    assert [(one.name, one.version, one.security) for one in seen] == [
        ("demo", "1.1-1", True),
        ("plain", "1.1-1", False),
    ]
    assert [one.name for one in packages.Updates(seen, 0.0).security] == ["demo"]

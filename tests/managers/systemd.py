"""A systemd of the tests' own: process 1 of a process namespace, with units, journal and cgroup of its own."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from pytest_runbook.managers import Completed
from pytest_runbook.managers.systemd import Systemd, SystemdSettings

from tests.managers.bench import FAST, NEEDS, PROGRAMS, VARIABLES, Bench, Recorder
from tests.managers.here import local

SYSTEMD = "/usr/lib/systemd/systemd"
JOURNAL = {
    "systemd-journald.socket": """
[Unit]
DefaultDependencies=no
[Socket]
ListenStream=/run/systemd/journal/stdout
ListenDatagram=/run/systemd/journal/socket
PassCredentials=yes
""",
    "systemd-journald.service": """
[Unit]
DefaultDependencies=no
Requires=systemd-journald.socket
After=systemd-journald.socket
[Service]
Type=notify
ExecStart=/usr/lib/systemd/systemd-journald
""",
    "default.target": """
[Unit]
Requires=systemd-journald.service
""",
}
UNIT = """
[Unit]
DefaultDependencies=no
{needs}
[Service]
EnvironmentFile={folder}/env
ExecStart=/bin/sh {folder}/{name}.sh
TimeoutStopSec=60
{restart}
"""
BOOT = """
set -e
mount --make-rprivate /
all=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
mkdir "$all/$2"
echo 0 >"$all/$2/cgroup.procs"
mount --bind "$all/$2" /sys/fs/cgroup
exec unshare --cgroup sh "$1/boot2" "$1"
"""
BOOT_2 = """
set -e
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
mount --bind "$1" "$1"
mount -o remount,bind,ro /
mkdir -p /run/systemd/journald.conf.d
printf '[Journal]\\nStorage=volatile\\nReadKMsg=no\\nAudit=no\\n' >/run/systemd/journald.conf.d/tests.conf
exec env -i PATH="$PATH" container=tests SYSTEMD_UNIT_PATH="$1/units" SYSTEMD_GENERATOR_PATH="$1/none" \\
    SYSTEMD_LOG_TARGET=null /usr/lib/systemd/systemd --system --show-status=0
"""


@contextmanager
def systemd(folder: Path) -> Iterator[Bench]:
    """The units of the bench under a systemd of their own."""
    _write(folder)
    with booted(folder) as inside:
        run = Recorder(inside)
        settings = SystemdSettings(kind="systemd", env_file=str(folder / "env"), **FAST)

        def reset() -> None:
            for words in (["kill", "--signal=KILL"], ["stop"], ["reset-failed"]):
                run.run(["systemctl", *words, *PROGRAMS], 30)
            (folder / "env").write_text(VARIABLES)

        yield Bench(Systemd("host", settings, run), run, folder / "env", reset)


@contextmanager
def booted(folder: Path) -> Iterator[Inside]:
    """A systemd over the units of FOLDER/units; it can write into FOLDER only, and is gone with all it started in the end."""
    if os.geteuid() != 0 or not Path(SYSTEMD).exists():
        pytest.skip("a systemd of its own needs root, and systemd installed")
    group = f"tests-{folder.name}"  # of each its own: two may be up at once
    for name, text in JOURNAL.items():
        (folder / "units" / name).write_text(text)
    (folder / "boot").write_text(BOOT)
    (folder / "boot2").write_text(BOOT_2)
    log = (folder / "log").open("wb")
    command = ["unshare", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child", "sh", f"{folder}/boot"]
    with log, subprocess.Popen([*command, str(folder), group], stdout=log, stderr=log) as outer:
        try:
            yield Inside(_first(outer, folder))
        finally:
            outer.kill()  # its child, process 1, dies with it, and everything else with that
            outer.wait()
            _remove(group)


def _write(folder: Path) -> None:
    units = folder / "units"
    units.mkdir()
    for name, program in PROGRAMS.items():
        (folder / f"{name}.sh").write_text(program)
        needs = f"Requires={NEEDS[name]}.service\nAfter={NEEDS[name]}.service" if name in NEEDS else ""
        restart = "Restart=always\nRestartSec=100ms" if name == "flapping" else ""
        text = UNIT.format(name=name, folder=folder, needs=needs, restart=restart)
        (units / f"{name}.service").write_text(text)
    (folder / "env").write_text(VARIABLES)


class Inside:
    """Runs commands where process PID is process 1."""

    def __init__(self, pid: int) -> None:
        self.enter = ("nsenter", f"--target={pid}", "--mount", "--pid", "--uts", "--ipc", "--cgroup", "--")

    def __call__(
        self,
        argv: Sequence[str],
        timeout: float,
        input: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Completed:
        return local([*self.enter, *argv], timeout, input, environment)


def _first(outer: subprocess.Popen[bytes], folder: Path) -> int:
    """The pid of process 1, when it has come up."""
    end = time.monotonic() + 20
    while time.monotonic() < end and outer.poll() is None:
        with suppress(psutil.Error):
            for child in psutil.Process(outer.pid).children():
                done = Inside(child.pid)(["systemctl", "is-system-running"], 5)
                if done.output.strip() in ("running", "degraded"):
                    return child.pid
        time.sleep(0.05)
    pytest.skip(f"systemd does not come up here: {(folder / 'log').read_text(errors='replace')[-500:].strip()}")


def _remove(group: str) -> None:
    """Remove the cgroup, which is empty once all processes are gone."""
    for root in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified"):
        for folder, _, _ in os.walk(Path(root, group), topdown=False):
            end = time.monotonic() + 5
            while time.monotonic() < end:
                try:
                    Path(folder).rmdir()
                    break
                except OSError:
                    time.sleep(0.05)

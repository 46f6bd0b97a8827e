"""A machine: whatever pytest-testinfra can look at, and its memory, disks, load, clock, ports and updates as figures."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import tempfile
import threading
import weakref
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from pytest_runbook import clock
from pytest_runbook.errors import Unmeasured, UsageError
from pytest_runbook.evidence.context import current
from pytest_runbook.files import unreadable
from pytest_runbook.model import Observation
from pytest_runbook.probes._address import public
from pytest_runbook.probes._plain import plain, shortened
from pytest_runbook.probes.base import Probe, ProbeSettings
from pytest_runbook.probes.host import clocks, figures, packages
from pytest_runbook.probes.host.clocks import Clock
from pytest_runbook.probes.host.figures import Disk, Load, Memory, Port
from pytest_runbook.probes.host.machine import Run, connect, execute
from pytest_runbook.probes.host.packages import Updates
from pytest_runbook.probes.host.reader import Reader

__all__ = ["Host", "HostSettings"]

T = TypeVar("T")
COMMAND = 200
"""Characters of a command that evidence keeps."""


class HostSettings(ProbeSettings):
    """Which machine, and as whom."""

    uri: str = "local://"
    """testinfra's: `local://`, `ssh://user@host:port`, `docker://container`, `podman://…`, `paramiko://…`, …"""
    sudo: bool = False
    """Run every command as root; sudo must not ask for a password."""
    sudo_user: str = ""
    """Run every command as this user instead."""
    ssh_config: str = ""
    ssh_identity_file: str = ""
    ntp_server: str = ""
    """`HOST` or `HOST:PORT` to compare clocks with where no time service runs."""


class Host(Probe[HostSettings]):
    """A machine. Two ways to look at it, both kept as evidence:

    A plain check uses it as pytest-testinfra's host, `host.file("/etc/passwd").mode`: each command is evidence.
    A coroutine check awaits its figures, `await host.memory()`, or asks in a thread, `await host.ask(…)`: each question is.

    Raises Unreachable when the machine does not serve or a command does not end in time, Unmeasured when we may not look.
    """

    kind = "host"
    remote = False
    Settings = HostSettings

    def __init__(self, name: str, settings: HostSettings) -> None:
        """NAME is the name in the settings."""
        super().__init__(name, settings)
        self._reader = Reader(lambda: self._machine("quiet"), self.target, local=settings.uri.startswith("local:"))
        self._lock = threading.Lock()
        self._machines: dict[str, Any] = {}

    @property
    def target(self) -> str:
        """The machine's address without user and password."""
        return "local://" if self.settings.uri.startswith("local:") else public(self.settings.uri)

    def __getattr__(self, name: str) -> Any:
        """What testinfra's host has: `file`, `service`, `socket`, `package`, `run`, …"""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._machine("watched", self._watched), name)

    async def close(self) -> None:
        """End the connection that ssh keeps open."""
        if "_folder" in vars(self):
            await self.blocking(lambda: _hang_up(self._folder))

    async def ask(self, what: str, question: Callable[[Any], T]) -> T:
        """Answer of QUESTION, a function of testinfra's host, asked in a thread; WHAT names it in the evidence."""
        return await self._figure(what, lambda: question(self._machine("quiet")))

    async def memory(self) -> Memory:
        """Memory and swap; those of the container when it has a limit."""
        return await self._figure("memory", lambda: figures.memory(self._reader))

    async def disk(self, path: str | os.PathLike[str] = "/") -> Disk:
        """Bytes and inodes of the file system that PATH lies on."""
        return await self._figure(f"disk {path}", lambda: figures.disk(self._reader, os.fspath(path)))

    async def load(self) -> Load:
        """Load averages and the number of processors."""
        return await self._figure("load", lambda: figures.load(self._reader))

    async def uptime(self) -> float:
        """Seconds since the machine started; a container shows its machine's."""
        return await self._figure("uptime", lambda: figures.uptime(self._reader))

    async def ports(self) -> list[Port]:
        """TCP ports that something listens on."""
        return await self._figure("ports", lambda: figures.ports(self._reader))

    async def file_mode(self, path: str | os.PathLike[str]) -> int:
        """Permission bits of PATH, for example 0o640; of what a link points to."""

        def look() -> int:
            return int(self._reader.said("stat -L -c %%a -- %s", os.fspath(path)), 8)

        return await self._figure(f"mode of {path}", look, answer=oct)

    async def packages_upgradable(self, max_age: float = 7 * 86400) -> Updates:
        """Updates that wait to be installed (apt, dnf); Unmeasured when the lists are absent or older than MAX_AGE seconds."""
        return await self._figure(f"packages lists<{max_age:g}s", lambda: packages.updates(self._reader, max_age))

    async def clock(self, reference: Callable[[], Awaitable[datetime]] | None = None) -> Clock:
        """How far the machine's clock is off, by the first that can tell.

        Its own time service (chrony, systemd-timesyncd); the NTP server of the settings; REFERENCE, which answers the time
        of a clock that is trusted (a database on another machine, the Date of a response). Unmeasured when none can.
        """

        async def call() -> Clock:
            server, limit = self.settings.ntp_server, self.settings.timeout / 2
            found, reasons = await self._blocking(lambda: clocks.told(self._reader, server, limit))
            if found:
                return found
            if reference is None:
                raise Unmeasured(
                    f'nothing tells whether the clock of "{self.target}" is right: {"; ".join(reasons)}\n'
                    f"  hint: run chrony or systemd-timesyncd there, or set probes.{self.name}.ntp_server"
                )
            ahead = await self._blocking(lambda: clocks.ahead(self._reader))
            asked, told, answered = clock.now(), await reference(), clock.now()
            ours = clocks.between(asked.timestamp(), told.timestamp(), answered.timestamp(), "reference")
            return clocks.plus(ours, ahead)

        return await self.observe("clock", call, answer=plain, share=reference is None)

    async def clock_offset(self, reference: Callable[[], Awaitable[datetime]] | None = None) -> float:
        """Seconds that the machine's clock is ahead (negative: behind); see `clock`."""
        return (await self.clock(reference)).offset

    async def _figure(self, what: str, look: Callable[[], T], answer: Callable[[T], Any] = plain) -> T:
        return await self.observe(what, lambda: self._blocking(look), answer=answer)

    async def _blocking(self, look: Callable[[], T]) -> T:
        """What LOOK, in a thread, answers in time."""

        def call() -> T:
            try:
                return look()
            except PermissionError as error:
                raise unreadable(error.filename or "what it asks for", error, f'"{self.target}":') from None
            except OSError as error:
                place = f' "{error.filename}"' if error.filename else ""
                raise Unmeasured(f'"{self.target}": {(error.strerror or str(error)).lower()}{place}') from None

        return await self.limited(self.blocking(call))

    def _machine(self, use: str, watch: Callable[[Run], Run] = lambda run: run) -> Any:
        """testinfra's host for USE, made when first asked for."""
        with self._lock:
            if use not in self._machines:
                self._machines[use] = connect(
                    self.settings.uri, self.target, self.settings.timeout, watch, self._options()
                )
            return self._machines[use]

    def _options(self) -> dict[str, Any]:
        s = self.settings
        options: dict[str, Any] = {"sudo": s.sudo or bool(s.sudo_user), "sudo_user": s.sudo_user or None}
        if s.uri.startswith(("ssh:", "safe-ssh:")):
            # One connection for all commands: a handshake for each would cost more than the command.
            options |= {"controlpath": str(Path(self._folder, "wire")), "timeout": max(round(s.timeout / 2), 1)}
        if "ssh" in s.uri or s.uri.startswith("paramiko:"):
            options |= {"ssh_config": s.ssh_config or None, "ssh_identity_file": s.ssh_identity_file or None}
        return options

    @cached_property
    def _folder(self) -> str:
        """Where ssh keeps the way to its open connection; gone in the end also when nobody closes the probe."""
        folder = tempfile.mkdtemp(prefix="runbook-ssh-")
        weakref.finalize(self, _hang_up, folder)
        return folder

    def _watched(self, run: Run) -> Run:
        """RUN whose calls are evidence of the check that makes them."""

        def watched(command: str, *args: str, **options: Any) -> Any:
            _must_not_block(command)
            line = command % tuple(map(shlex.quote, args)) if args else command
            seen = Observation(
                self.name, self.target, f"run {shortened(line, COMMAND)}", clock.iso(clock.now()), 0.0, ok=False
            )
            begun, notebook = clock.monotonic(), current()
            try:
                done = run(command, *args, **options)
                seen.ok, seen.answer = True, plain({"status": done.rc, "stdout": done.stdout, "stderr": done.stderr})
                return done
            except Exception as error:
                seen.error = f"{type(error).__name__}: {error}"
                raise
            finally:
                seen.duration = clock.monotonic() - begun
                if notebook is not None:
                    notebook.observations.append(seen)

        return watched


def _must_not_block(command: str) -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise UsageError(
        f'"{shortened(command, 60)}" would block all checks that run with this one\n'
        '  hint: make the check a plain function, or: await host.ask("what", lambda host: …)'
    )


def _hang_up(folder: str) -> None:
    """Tell the ssh that holds the connection at FOLDER to end; the name of a host is demanded and not used."""
    wire = Path(folder, "wire")
    if wire.exists():
        with suppress(Unmeasured):  # it ends by itself a minute later
            execute(["ssh", "-O", "exit", "-o", f"ControlPath={wire}", "any"], 3, "ssh", "exit")
    shutil.rmtree(folder, ignore_errors=True)

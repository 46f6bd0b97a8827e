"""The lab: brings the servers up in their order, takes them down without leftovers, says how they are."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from lab import backup, environment, home, leftovers, packages, past, tls, waiting
from lab.breakable import Breakable
from lab.servers import Server, port_names
from lab.site import LabError, Site, choose_ports
from lab.supervise import tail

DEFAULT_FOLDER = Path("var/lab")
STATE_EVERY = 0.3
"""Seconds between two looks at the supervisor while waiting for a server: it answers one question at a time."""

Progress = Callable[[str], None]


def silent(_line: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class Status:
    """How one process is."""

    name: str
    state: str
    """supervisord's word: RUNNING, STOPPED, FATAL, …"""
    pid: int
    port: int | None
    front: int | None
    """The fault proxy's port before it."""
    healthy: bool
    detail: str


class Lab(Breakable):
    """The embedded system in one folder; many may run side by side."""

    def __init__(self, folder: Path | str = DEFAULT_FOLDER) -> None:
        super().__init__(Site(folder))

    @property
    def folder(self) -> Path:
        """Where everything of this lab lies."""
        return self.site.folder

    def environment(self) -> dict[str, str]:
        """The environment variables that a run of checks needs; also in `environment.sh`."""
        self.site.refresh()
        return environment.environment(self.site)

    def up(self, progress: Progress = silent) -> None:
        """Start what is missing, and return when every server does its work.

        A lab that runs and is broken on purpose is left as it is; one that did not run comes up healed.
        """
        with self.site.lock():
            if self.site.exists:
                self.site.refresh()
                if self.supervisor.alive():
                    if not self.site.state.broken:
                        self._start(progress)
                        self._finish(progress)
                    return
            leftovers.end(self.folder)
            try:
                with choose_ports(port_names(), self.site.state.ports if self.site.exists else {}) as ports:
                    self._begin(ports)
                    self._start(progress)
                self._finish(progress)
            except BaseException:
                self._end()
                raise

    def _begin(self, ports: dict[str, int]) -> None:
        """Write what the servers read, and start their supervisor."""
        if self.site.exists:
            self.site.state.ports = ports
        else:
            self.site.create(ports)
        self.site.make_runtime()
        self.site.save()
        tls.ensure(self.site)
        home.write(self.site)
        packages.write(self.site)
        past.ensure(self.site)
        self.supervisor.configure({name: server.process() for name, server in self.servers.items()})
        self.supervisor.start()

    def _finish(self, progress: Progress) -> None:
        """Undo what was broken when the lab last ended, and make what a running system has."""
        for name in reversed(list(self.site.state.broken)):
            self._heal(name)
            home.write(self.site)
        begun = time.monotonic()
        if backup.ensure(self.site):
            progress(f"a backup is made ({time.monotonic() - begun:.1f} s)")
        environment.write(self.site)

    def _start(self, progress: Progress) -> None:
        """Start all servers, each as soon as those that it needs are ready."""
        started: dict[str, Future[None]] = {}
        abandoned = threading.Event()

        def begin(server: Server) -> None:
            for need in server.needs:
                started[need].result()
            begun = time.monotonic()
            server.prepare()
            self.supervisor.launch(server.name)
            self._until_ready(server, abandoned)
            server.settle()
            progress(f"{server.name} is ready ({time.monotonic() - begun:.1f} s)")

        standing = self.standing
        with ThreadPoolExecutor(len(standing)) as pool:
            try:
                for name, server in standing.items():
                    started[name] = pool.submit(begin, server)
                for future in wait(started.values(), return_when=FIRST_EXCEPTION).done:
                    future.result()
            except BaseException:
                abandoned.set()
                raise

    def _until_ready(self, server: Server, abandoned: threading.Event) -> None:
        log = self.site.path("log", f"{server.name}.log")
        looked = time.monotonic()

        def look() -> None:
            nonlocal looked
            try:
                server.ready()
            except (waiting.NotReady, OSError):
                if abandoned.is_set():
                    raise LabError("another server did not start") from None
                if time.monotonic() - looked > STATE_EVERY:
                    looked = time.monotonic()
                    if self.supervisor.processes()[server.name]["statename"] in ("FATAL", "EXITED", "BACKOFF"):
                        raise LabError(f'"{server.name}" ended at once') from None
                raise

        try:
            waiting.until(look, f'"{server.name}" is ready', deadline=server.deadline)
        except LabError as error:
            raise LabError(f"{error}\n{tail(log)}".rstrip()) from error

    def down(self, *, purge: bool = False) -> None:
        """Stop everything, whatever state it is in; PURGE removes the folder too."""
        if not self.site.exists:
            return
        with self.site.lock():
            try:
                self._end(patience=0 if purge else leftovers.PATIENCE)
            except LabError:
                # A lab.json that cannot be read must not keep the folder from being removed.
                if not purge or leftovers.find(self.folder):
                    raise
            if purge:
                shutil.rmtree(self.folder)

    def _end(self, patience: float = leftovers.PATIENCE) -> None:
        leftovers.end(self.folder, patience)
        self._reap()
        if not self.site.exists:
            return
        self.site.refresh()
        for server in self.servers.values():
            server.clean()
        shutil.rmtree(self.site.state.runtime or self.site.path("run"), ignore_errors=True)

    def status(self) -> list[Status]:
        """How each process is; asked of the servers themselves, past the fault proxy."""
        self.site.refresh()
        seen = self.supervisor.processes() if self.supervisor.alive() else {}
        standing = self.standing
        with ThreadPoolExecutor(len(standing)) as pool:
            return list(pool.map(lambda server: self._status(server, seen.get(server.name, {})), standing.values()))

    def _status(self, server: Server, info: dict[str, object]) -> Status:
        ports = self.site.state.ports
        state, pid = str(info.get("statename", "STOPPED")), info.get("pid")
        detail = "" if state in ("RUNNING", "STARTING") else "not running"
        if not detail:
            try:
                server.ready()
            except (waiting.NotReady, OSError) as error:
                detail = str(error) or type(error).__name__
        return Status(
            name=server.name,
            state=state,
            pid=pid if isinstance(pid, int) else 0,
            port=ports.get(server.name),
            front=ports.get(f"front-{server.name}"),
            healthy=not detail,
            detail=detail,
        )

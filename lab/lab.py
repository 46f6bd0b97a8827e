"""The lab: brings the servers up in their order, takes them down without leftovers, says how they are."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from lab import leftovers, servers, waiting
from lab.site import LabError, Site, choose_ports
from lab.supervise import Supervisor, tail

DEFAULT_FOLDER = Path("var/lab")
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Status:
    """How one process is."""

    name: str
    state: str
    pid: int
    port: int | None
    front: int | None
    healthy: bool
    detail: str


class Lab:
    """The embedded system in one folder; many may run side by side."""

    def __init__(self, folder: Path | str = DEFAULT_FOLDER) -> None:
        self.site = Site(folder)
        self.supervisor = Supervisor(self.site)

    @property
    def folder(self) -> Path:
        """Where everything of this lab lies."""
        return self.site.folder

    @property
    def servers(self) -> dict[str, servers.Server]:
        """Every server by name, those first that others need."""
        return servers.load(self.site)

    def up(self, progress: Progress = lambda _line: None) -> None:
        """Start what is missing, and return when every server does its work."""
        with self.site.lock():
            if self.site.exists:
                self.site.refresh()
            if self.supervisor.alive():
                if not self.site.state.broken:
                    self._start(progress)
                return
            leftovers.end(self.folder)
            try:
                with choose_ports(self.site.state.ports if self.site.exists else None) as ports:
                    if self.site.exists:
                        self.site.state.ports = ports
                    else:
                        self.site.create(ports)
                    self.site.make_runtime()
                    self.site.save()
                    self.supervisor.configure({name: server.process() for name, server in self.servers.items()})
                    self.supervisor.start()
                    self._start(progress)
            except BaseException:
                self._down()
                raise

    def _start(self, progress: Progress) -> None:
        """Start all servers, each as soon as those that it needs are ready."""
        everything = self.servers
        started: dict[str, Future[None]] = {}

        def begin(server: servers.Server) -> None:
            for need in server.needs:
                started[need].result()
            begun = time.monotonic()
            server.prepare()
            self.supervisor.launch(server.name)
            self._until_ready(server)
            server.settle()
            progress(f"{server.name} is ready ({time.monotonic() - begun:.1f} s)")

        with ThreadPoolExecutor(len(everything)) as pool:
            for name, server in everything.items():
                started[name] = pool.submit(begin, server)
            done, _ = wait(started.values(), return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()

    def _until_ready(self, server: servers.Server) -> None:
        def look() -> None:
            state = self.supervisor.processes()[server.name]["statename"]
            if state in ("FATAL", "EXITED"):
                raise LabError(f'"{server.name}" ended\n{tail(self.site.path("log", server.name + ".log"))}')
            server.ready()

        try:
            waiting.until(look, f'"{server.name}" is ready', deadline=server.deadline)
        except LabError as error:
            raise LabError(f"{error}\n{tail(self.site.path('log', server.name + '.log'))}") from error

    def down(self, *, purge: bool = False) -> None:
        """Stop everything, whatever state it is in; PURGE removes the folder too."""
        if not self.site.exists:
            return
        with self.site.lock():
            self.site.refresh()
            self._down()
            if purge:
                shutil.rmtree(self.folder)

    def _down(self) -> None:
        leftovers.end(self.folder)
        for server in self.servers.values():
            server.clean()
        if self.site.state.runtime:
            shutil.rmtree(self.site.state.runtime, ignore_errors=True)

    def status(self) -> list[Status]:
        """How each process is; asked of the servers themselves, past the fault proxy."""
        self.site.refresh()
        seen = self.supervisor.processes() if self.supervisor.alive() else {}
        return [self._status(server, seen.get(server.name, {})) for server in self.servers.values()]

    def _status(self, server: servers.Server, info: dict[str, object]) -> Status:
        ports = self.site.state.ports
        state = str(info.get("statename", "STOPPED"))
        detail = ""
        if state in ("RUNNING", "STARTING"):
            try:
                server.ready()
            except (waiting.NotReady, OSError) as error:
                detail = str(error)
        else:
            detail = "not running"
        pid = info.get("pid", 0)
        return Status(
            server.name,
            state,
            pid if isinstance(pid, int) else 0,
            ports.get(server.name),
            ports.get(f"front-{server.name}"),
            not detail,
            detail,
        )

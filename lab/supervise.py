"""The process supervisor of the lab: supervisord, with XML-RPC over a unix socket, as users know it."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import xmlrpc.client
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import SupervisorTransport

from lab import waiting
from lab.servers import Process
from lab.site import LabError, Site, write_private

LAUNCH = Path(__file__).with_name("launch.py")
FAULTS_ALREADY = (60, 70)
"""supervisord's codes for "already started" and "not running"."""


class Supervisor:
    """Starts, stops and looks at the lab's processes."""

    def __init__(self, site: Site) -> None:
        self.site = site

    @property
    def socket(self) -> Path:
        """The unix socket that supervisord answers on."""
        return self.site.runtime / "supervisor.sock"

    def configure(self, processes: dict[str, Process]) -> None:
        """Write supervisord's configuration and the processes' own."""
        specs = {name: process.to_json() for name, process in processes.items()}
        write_private(self.site.path("supervisor", "processes.json"), json.dumps(specs, indent=2))
        write_private(self.site.path("supervisor", "supervisord.conf"), self._configuration(processes))

    def _configuration(self, processes: dict[str, Process]) -> str:
        folder = self.site.path("supervisor")
        lines = [
            "[supervisord]",
            f"logfile={folder / 'supervisord.log'}",
            f"pidfile={folder / 'supervisord.pid'}",
            f"childlogdir={folder}",
            "silent=true",
            *(["user=root"] if os.geteuid() == 0 else []),
            "[unix_http_server]",
            f"file={self.socket}",
            "chmod=0600",
            "[supervisorctl]",
            f"serverurl=unix://{self.socket}",
            "[rpcinterface:supervisor]",
            "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
        ]
        for name, process in processes.items():
            command = [sys.executable, "-I", "-S", str(LAUNCH), str(folder / "processes.json"), name]
            lines += [
                f"[program:{name}]",
                f"command={shlex.join(command)}",
                "autostart=false",
                "autorestart=true",
                "startsecs=1",
                f"stopsignal={process.stop_signal}",
                "stopwaitsecs=10",
                "stopasgroup=false",
                "killasgroup=true",
                "redirect_stderr=true",
                f"stdout_logfile={self.site.path('log', name + '.log')}",
                "stdout_logfile_maxbytes=5MB",
                "stdout_logfile_backups=1",
            ]
        return "\n".join(lines) + "\n"

    def start(self) -> None:
        """Start supervisord, which makes itself a daemon, and wait until it answers."""
        self.site.path("log").mkdir(exist_ok=True)
        configuration, log = self.site.path("supervisor", "supervisord.conf"), self.site.path("supervisor", "start.log")
        with log.open("wb") as output:
            started = subprocess.run(
                [sys.executable, "-m", "supervisor.supervisord", "-c", str(configuration)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                env={**os.environ, "LAB_DIR": str(self.site.folder)},
                check=False,
            )
        if started.returncode != 0:
            raise LabError(f"supervisord does not start\n{tail(log)}")

        def answers() -> None:
            if not self.alive():
                raise waiting.NotReady("no answer on its socket")

        waiting.until(answers, "supervisord answers", deadline=15)

    def alive(self) -> bool:
        """Whether supervisord answers."""
        if not self.site.exists or not self.socket.exists():
            return False
        try:
            self.call("getState")
        except (OSError, xmlrpc.client.Error, ValueError):
            return False
        return True

    def call(self, method: str, *arguments: Any) -> Any:
        """The answer of supervisord's XML-RPC method."""
        with xmlrpc.client.ServerProxy(
            "http://localhost", SupervisorTransport(None, None, f"unix://{self.socket}")
        ) as proxy:
            return getattr(proxy.supervisor, method)(*arguments)

    def launch(self, name: str) -> None:
        """Start the process NAME if it does not run; waiting for it to be ready is its server's matter."""
        self._tolerant("startProcess", name, False)

    def stop(self, name: str) -> None:
        """Stop the process NAME if it runs, and wait for its end."""
        self._tolerant("stopProcess", name, True)

    def signal(self, name: str, signal: str) -> None:
        """Send SIGNAL (`HUP`, `KILL`, …) to the process NAME."""
        self._tolerant("signalProcess", name, signal)

    def processes(self) -> dict[str, dict[str, Any]]:
        """What supervisord says of each process (`statename`, `pid`, `description`, …)."""
        return {info["name"]: info for info in self.call("getAllProcessInfo")}

    def _tolerant(self, method: str, *arguments: Any) -> None:
        try:
            self.call(method, *arguments)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode not in FAULTS_ALREADY:
                raise LabError(f"supervisord: {method} {arguments[0]}: {fault.faultString}") from fault


def tail(path: Path, lines: int = 15) -> str:
    """The last LINES of a log, to be shown with an error."""
    if not path.is_file():
        return ""
    return "\n".join("  | " + line for line in path.read_text(errors="replace").splitlines()[-lines:])

"""What faults do to a lab; each method notes how it is undone before it does anything."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import psutil

from lab import home, leftovers, tls
from lab.healable import Healable
from lab.servers import REPOSITORY
from lab.servers.faultproxy import FaultProxy
from lab.servers.postgresql import DATABASE, PostgreSQL
from lab.servers.redis import Cache
from lab.site import LabError, write_private
from lab.waiting import NotReady, until

UNTIL_RESTART = "until_restart"
"""Key of the rules that end with a restart, as lab/serving/faults.py has it."""


class Breakable(Healable):
    """A lab as faults see it."""

    def change_setting(self, key: str, value: Any) -> None:
        """Tell the checks another value of a setting, by its dotted KEY, for what no lab can make true: that hours passed.

        It stands in `environment()` and `environment.sh` until the fault is healed.
        """
        if self._injecting is None:
            raise LabError("a setting is changed by a fault only, which keeps it until it is healed")
        self.site.state.broken[self._injecting].settings[key] = value
        self._save()

    # Processes

    def stop_process(self, name: str) -> None:
        """Stop a server; its supervisor leaves it stopped."""
        self._note("start", name=name)
        self.supervisor.stop(name)

    def kill_process(self, name: str) -> None:
        """Kill a server without warning; its supervisor starts it again."""
        for process in self.family(name):
            process.kill()

    def restart(self, name: str) -> None:
        """Stop and start a server, and wait until it does its work."""
        self.supervisor.stop(name)
        self._undo_start(name)

    def restart_when_healed(self, name: str) -> None:
        """Restart a server as the last thing of healing what is broken after this call."""
        self._note("restart", name=name)

    def _undo_restart(self, name: str) -> None:
        self.restart(name)

    def pause(self, name: str, *, children: bool = True) -> None:
        """Freeze a server with all its processes, or without its CHILDREN: it accepts connections and never answers."""
        self._note("resume", name=name)
        for process in self.family(name)[: None if children else 1]:
            process.send_signal(signal.SIGSTOP)

    def break_program(self, name: str) -> None:
        """Have a server's program be gone when it is started the next time; what runs goes on."""
        self._note("program", name=name)
        self._configure({}, gone=name)

    def _undo_program(self, name: str) -> None:
        self._configure({})
        self._undo_start(name)

    def _undo_start(self, name: str) -> None:
        server = self.servers[name]
        server.prepare()
        self.supervisor.launch(name)
        until(server.ready, f'"{name}" is ready', deadline=server.deadline)

    def _undo_resume(self, name: str) -> None:
        for process in self.family(name):
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)

    def family(self, name: str) -> list[psutil.Process]:
        """The process of a server, which comes first, and its children; none when it does not run."""
        pid = self.supervisor.processes()[name]["pid"]
        if not pid:
            return []
        try:
            process = psutil.Process(pid)
            return [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def set_environment(self, name: str, **variables: str) -> None:
        """Give a server other environment variables, and restart it."""
        self._note("environment", name=name)
        self._configure({name: variables})
        self.restart(name)

    def _undo_environment(self, name: str) -> None:
        self._configure({})
        self.restart(name)

    def _configure(self, variables: Mapping[str, Mapping[str, str]], gone: str | None = None) -> None:
        processes = {}
        for name, server in self.servers.items():
            process = server.process()
            processes[name] = replace(process, environment={**process.environment, **variables.get(name, {})})
            if name == gone:
                processes[name] = replace(process, command=[str(self.site.path("gone", name))])
        self.supervisor.configure(processes)

    def spawn(self, *command: str, environment: Mapping[str, str] | None = None) -> int:
        """Run a process beside the servers (a session that holds a lock, a memory hog) until the fault is healed; its pid."""
        with self.site.path("log", "spawned.log").open("ab") as log:
            started = subprocess.Popen(
                command,
                cwd=REPOSITORY,
                env={**os.environ, "LAB_DIR": str(self.site.folder), **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._children.append(started)
        self._note("spawn", pid=started.pid, born=psutil.Process(started.pid).create_time())
        return started.pid

    def _reap(self) -> None:
        """Take notice of the children that have ended."""
        self._children = [child for child in self._children if child.poll() is None]

    def _undo_spawn(self, pid: int, born: float) -> None:
        try:
            process = psutil.Process(pid)
            if process.create_time() == born:
                process.kill()
                process.wait(5)
        except psutil.NoSuchProcess:
            pass
        self._reap()

    # Links

    def toxic(self, front: str, kind: str, stream: str = "downstream", **attributes: int) -> None:
        """Put a toxic on the link before the server FRONT; kinds and attributes: see lab/servers/faultproxy.py."""
        name = f"{self._injecting or 'by-hand'}-{kind}-{stream}"
        self._note("toxic", front=front, name=name)
        self._proxy.ask("add", front=front, name=name, type=kind, stream=stream, attributes=attributes)

    def _undo_toxic(self, front: str, name: str) -> None:
        self._proxy.ask("remove", front=front, name=name)

    @property
    def _proxy(self) -> FaultProxy:
        return FaultProxy(self.site)

    # Data

    def sql(
        self, statement: str, *, undo: str | None = None, database: str = DATABASE, server: str = "database"
    ) -> list[Any]:
        """Rows of a statement as PostgreSQL's superuser; UNDO is the statement that takes it back."""
        if undo is not None:
            self._note("sql", statement=undo, database=database, server=server)
        return self._undo_sql(statement, database, server)

    def _undo_sql(self, statement: str, database: str, server: str) -> list[Any]:
        postgresql = cast("PostgreSQL", self.servers[server])
        with postgresql.connect(database=database) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def hold_sessions(self, statement: str, count: int = 1) -> None:
        """Keep COUNT sessions of the application's role open, each of which ran STATEMENT (`BEGIN` for one idle in it)."""
        before = self._sessions(statement)
        where = {"LAB_URI": home.database_uri(self.site), "PYTHONPATH": str(REPOSITORY)}
        self.spawn(sys.executable, "-m", "lab.sessions", str(count), statement, environment=where)

        def held() -> None:
            if (now := self._sessions(statement) - before) < count:
                raise NotReady(f"{now} of {count} sessions are open")

        until(held, "sessions are held", deadline=15)

    def _sessions(self, statement: str) -> int:
        query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'lab-sessions' AND query = %s"
        with cast("PostgreSQL", self.servers["database"]).connect() as connection:
            row = connection.execute(query, [statement]).fetchone()
        return int(row[0]) if row else 0

    def redis(self, *command: str | float, undo: Sequence[str | float] | None = None) -> Any:
        """The answer of a Redis command; UNDO is the command that takes it back."""
        if undo is not None:
            self._note("redis", command=list(undo))
        return self._undo_redis(command)

    def _undo_redis(self, command: Sequence[str | float]) -> Any:
        with Cache(self.site).connect() as client:
            return client.execute_command(*command)

    # Files

    def misbehave(self, service: str, **rules: Any) -> None:
        """Let a stand-in service misbehave: the rules of lab/serving/faults.py (`misbehave("web", slow={"seconds": 3})`)."""
        self._misbehave(service, rules)

    def confuse(self, service: str, **rules: Any) -> None:
        """The same of a service that has got into a bad state: a restart brings it back."""
        self._misbehave(service, rules, {name: time.time() for name in rules})

    def _misbehave(self, service: str, rules: dict[str, Any], until_restart: dict[str, float] | None = None) -> None:
        self._note("misbehave", service=service, rules=list(rules))
        before = self._rules(service)
        ending = {**before.get(UNTIL_RESTART, {}), **(until_restart or {})}
        self._write_rules(service, {**before, **rules, UNTIL_RESTART: ending})

    def _undo_misbehave(self, service: str, rules: list[str]) -> None:
        left = {name: rule for name, rule in self._rules(service).items() if name not in rules}
        ending = {name: moment for name, moment in left.get(UNTIL_RESTART, {}).items() if name not in rules}
        self._write_rules(service, {**left, UNTIL_RESTART: ending})

    def _rules(self, service: str) -> dict[str, Any]:
        path = self.site.path(f"{service}-faults.json")
        return cast("dict[str, Any]", json.loads(path.read_text())) if path.is_file() else {}

    def _write_rules(self, service: str, rules: dict[str, Any]) -> None:
        write_private(self.site.path(f"{service}-faults.json"), json.dumps(rules))

    def mount_small_disk(self, folder: Path, options: str) -> bool:
        """Mount a disk of its own on FOLDER, in memory and with the OPTIONS of tmpfs; False when we may not."""
        folder.mkdir(exist_ok=True)
        self._note("mount", folder=str(folder))
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0

    def _undo_mount(self, folder: str) -> None:
        leftovers.unmount(Path(folder))

    def replace_file(self, path: Path, content: str | bytes | None) -> None:
        """Give a file other content, none at all with None; its mode stays."""
        self._keep(path)
        if content is None:
            path.unlink(missing_ok=True)
        else:
            write_private(path, content, mode=path.stat().st_mode & 0o7777 if path.exists() else 0o644)

    def remove_file(self, path: Path) -> None:
        """Remove a file."""
        self.replace_file(path, None)

    def change_mode(self, path: Path, mode: int) -> None:
        """Give a file other permissions."""
        self._keep(path)
        path.chmod(mode)

    def age_file(self, path: Path, seconds: float) -> None:
        """Make a file look that much older."""
        self._keep(path)
        os.utime(path, (time.time() - seconds,) * 2)

    def edit_config(self, **sections: dict[str, Any]) -> None:
        """Change keys of production.json: `edit_config(security={"debug": True})`; None is written as null."""
        content = json.loads(home.config_file(self.site).read_text())
        before = {name: {key: content.get(name, {}).get(key) for key in keys} for name, keys in sections.items()}
        self._note("config", sections=before)
        self._undo_config(sections)

    def _undo_config(self, sections: dict[str, dict[str, Any]]) -> None:
        path = home.config_file(self.site)
        content = json.loads(path.read_text())
        for name, keys in sections.items():
            content.setdefault(name, {}).update(keys)
        write_private(path, json.dumps(content, indent=2) + "\n")

    def rewrite_env(self, **changes: str | None) -> None:
        """Change variables of `.env`; None removes one."""
        before = home.read_env(self.site)
        self._note("env", changes={name: before.get(name) for name in changes})
        self._undo_env(changes)

    def _undo_env(self, changes: dict[str, str | None]) -> None:
        values = {**home.read_env(self.site), **changes}
        text = home.env_text({name: value for name, value in values.items() if value is not None})
        path = home.env_file(self.site)
        write_private(path, text, mode=path.stat().st_mode & 0o7777)

    def issue_certificate(self, expires: datetime, names: tuple[str, ...] = tls.NAMES, **told: Any) -> None:
        """Show a certificate that ends at EXPIRES, from the lab's authority unless TOLD otherwise; see lab/tls.py."""
        self.restart_when_healed("proxy")
        for path in tls.certificate_files(self.site):
            self._keep(path)
        tls.issue(self.site, expires, names, **told)
        self.restart("proxy")

    def _keep(self, path: Path) -> None:
        """Copy PATH aside, with mode and times."""
        kept = self.site.path("kept", f"{time.time_ns()}-{path.name}")
        kept.parent.mkdir(exist_ok=True, mode=0o700)
        if path.exists():
            shutil.copy2(path, kept)
        self._note("file", path=str(path), kept=str(kept) if path.exists() else None)

    def _undo_file(self, path: str, kept: str | None) -> None:
        if kept is None:
            Path(path).unlink(missing_ok=True)
        elif Path(kept).exists():
            shutil.copy2(kept, path)
            Path(kept).unlink()

"""A supervisord of the tests' own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pytest_runbook.managers.supervisor import Supervisor, SupervisorSettings

from tests.managers.bench import PROGRAMS, VARIABLES, Bench, Recorder
from tests.managers.here import local

CONTROL = (sys.executable, "-W", "ignore", "-m", "supervisor.supervisorctl")
HEAD = """
[supervisord]
logfile={folder}/supervisord.log
pidfile={folder}/supervisord.pid
childlogdir={folder}
user=root
[unix_http_server]
file={folder}/sock
username=operator
password={password}
[supervisorctl]
serverurl=unix://{folder}/sock
username=operator
password={password}
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""
PROGRAM = """
[program:{name}]
command={folder}/start {name}
autostart=false
startsecs=1
startretries=2
stopwaitsecs=60
killasgroup=true
"""
PASSWORD = "open-sesame-of-supervisord"


@contextmanager
def supervisord(folder: Path) -> Iterator[Bench]:
    """A supervisord in FOLDER, whose path is short enough for a socket; patient, so that it does not kill before we do."""
    start = folder / "start"
    start.write_text(f'#!/bin/sh\nset -a\n. {folder}/env\nexec /bin/sh "{folder}/$1.sh"\n')
    start.chmod(0o755)
    (folder / "env").write_text(VARIABLES)
    for name, program in PROGRAMS.items():
        (folder / f"{name}.sh").write_text(program)
    head = HEAD if os.geteuid() == 0 else HEAD.replace("user=root\n", "")
    text = head + "".join(PROGRAM.format(name=name, folder="{folder}") for name in PROGRAMS)
    group = "[program:worker]\ncommand={folder}/start base\nnumprocs=2\nprocess_name=%(process_num)d\nautostart=false\n"
    config = folder / "supervisord.conf"
    config.write_text((text + group).format(folder=folder, password=PASSWORD))
    run = Recorder()
    control = [*CONTROL, "-c", str(config)]
    settings = SupervisorSettings(
        kind="supervisor", command=CONTROL, config=str(config), grace=1.0, env_file=str(folder / "env")
    )

    def reset() -> None:
        local([*control, "signal", "KILL", "deaf"], 30)
        local([*control, "stop", "all"], 30)
        (folder / "env").write_text(VARIABLES)

    daemon = [sys.executable, "-W", "ignore", "-m", "supervisor.supervisord", "-c", str(config)]
    started = local(daemon, 30)
    assert started.status == 0, started.said
    try:
        yield Bench(Supervisor("lab", settings, run), run, folder / "env", reset)
    finally:
        reset()
        local([*control, "shutdown"], 30)
